-- Note that the keys of a peer should be looked at anew.
--
-- KEYS[1]   peers by when the look at them is due
-- KEYS[2]   peers by the end of their pause, for this reason
-- ARGV[1]   the peer                 ARGV[2]  now, ms
-- ARGV[3]   ms that a pause lasts at most: a longer one is of a clock that was put back
-- ARGV[4]   peers noted at most      ARGV[5]  ms for which the notes are kept
-- Returns   1 where it was noted, 0 where it is noted already or there is no place
-- Atomic    so that of two notes the earlier time stays, and no more are kept than may be

local now = tonumber(ARGV[2])
local at = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or 0)
if at < now or at > now + tonumber(ARGV[3]) then at = now end
local noted = redis.call('ZSCORE', KEYS[1], ARGV[1])
if noted then
  if tonumber(noted) <= at then return 0 end
elseif redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then
  return 0
end
redis.call('ZADD', KEYS[1], at, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
