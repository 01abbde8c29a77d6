-- Take or renew the lease of one kind of work for one peer.
--
-- KEYS[1]   the lease
-- ARGV[1]   token      ARGV[2]  now, ms
-- ARGV[3]   when the lease expires    ARGV[4]  ms for which it is kept
-- Returns   1 where the token has it now, 0 where another has it
-- Atomic    because two workers may ask at once

local held = redis.call('GET', KEYS[1])
if held then
  local expires, owner = string.match(held, '^(%d+) (.*)$')
  if owner ~= ARGV[1] and tonumber(expires) > tonumber(ARGV[2]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[3] .. ' ' .. ARGV[1], 'PX', ARGV[4])
return 1
