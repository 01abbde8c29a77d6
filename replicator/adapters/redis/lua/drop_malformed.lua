-- Forget the malformed queue entries.
--
-- KEYS[1]   the list of entries, newest first
-- Returns   how many there were
-- Atomic    so that an entry that comes meanwhile is either counted or kept

local count = redis.call('LLEN', KEYS[1])
redis.call('DEL', KEYS[1])
return count
