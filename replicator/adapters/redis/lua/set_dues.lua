-- Store when the next periodic work of peers is due.
--
-- KEYS      one per peer
-- ARGV[1]   ms for which a time is kept
-- ARGV[2..] times, one per key
-- Returns   nothing
-- Atomic    by chance: it is one script because it is one round trip, and MSET knows no expiry

for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[1 + i], 'PX', ARGV[1]) end
