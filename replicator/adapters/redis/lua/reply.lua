-- Hand an answer to the gateway that waits for it, and drop the stored request.
--
-- KEYS[1]   the gateway's reply list
-- KEYS[2]   the stored request
-- ARGV[1]   packed reply
-- ARGV[2]   replies kept; the oldest of more are dropped (their gateway is dead)
-- ARGV[3]   ms for which the list is kept after its last reply
-- Returns   replies in the list now
-- Atomic    so that a task redelivered afterwards finds nothing and ends
--
-- The reply is handed over even where the request is gone: after a flush its gateway still waits.

redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], -ARGV[2], -1)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('DEL', KEYS[2])
return redis.call('LLEN', KEYS[1])
