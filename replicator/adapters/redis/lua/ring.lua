-- Set a doorbell flag.
--
-- KEYS[1]   the flag
-- ARGV[1]   now, ms    ARGV[2]  when the flag expires    ARGV[3]  ms for which it is kept
-- Returns   1 where it was not set, so that a message must be sent; else 0
-- Atomic    because of many rings at once one sends the message

local expires = redis.call('GET', KEYS[1])
if expires and tonumber(expires) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
