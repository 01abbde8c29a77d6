-- Replace a peer's breaker if it is still what the caller saw.
--
-- KEYS[1]   the breaker
-- ARGV[1]   packed breaker that was seen; empty: the default one, which is not stored
-- ARGV[2]   packed breaker to store; empty: the default one
-- ARGV[3]   ms for which it is kept
-- Returns   1 where it was replaced; else what is stored, empty where nothing is
-- Atomic    because two workers may count one failure, or send one probe, at once

local stored = redis.call('GET', KEYS[1]) or ''
if stored ~= ARGV[1] then return stored end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
