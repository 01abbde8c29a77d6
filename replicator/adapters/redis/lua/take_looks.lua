-- Take the peers whose keys are to be looked at now.
--
-- KEYS[1]   peers by when the look at them is due
-- KEYS[2..] peers by the end of their pause, one key per reason
-- ARGV[1]   now, ms                  ARGV[2]  peers at most
-- ARGV[3]   ms for which the pauses are kept
-- ARGV[4..] when their pause ends, one per reason
-- Returns   the peers, the longest due first
-- Atomic    so that two workers never look at one peer, and a note meanwhile waits for the pause

local taken = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, peer in ipairs(taken) do redis.call('ZREM', KEYS[1], peer) end
for i = 2, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', ARGV[1])
  for _, peer in ipairs(taken) do redis.call('ZADD', KEYS[i], ARGV[i + 2], peer) end
  redis.call('PEXPIRE', KEYS[i], ARGV[3])
end
return taken
