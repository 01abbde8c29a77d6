-- Keep a record for the operator: of a refused request, or of a malformed queue entry.
--
-- KEYS[1]   the list of such records, newest first
-- ARGV[1]   packed record
-- ARGV[2]   records kept
-- ARGV[3]   ms for which the list is kept after its last record
-- Returns   nothing
-- Atomic    so that the list is never longer than its bound
--
-- A key of another type is not ours: whoever wrote it must not keep evidence from being kept.

if type(redis.pcall('LLEN', KEYS[1])) == 'table' then
    redis.call('DEL', KEYS[1])
end
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
