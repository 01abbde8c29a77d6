-- Give the lease of one kind of work back.
--
-- KEYS[1]   the lease
-- ARGV[1]   token
-- Returns   1 where the token had it, else 0
-- Atomic    so that a late release does not end another worker's lease

local held = redis.call('GET', KEYS[1])
if held and string.match(held, '^%d+ (.*)$') == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
