-- Remove dead letters.
--
-- KEYS[1]   the root of the queue's keys
-- ARGV      digests; letters of all their holders are meant
-- Returns   how many letters were removed
-- Atomic    because the list and its texts are two keys
--
-- Looks at all letters, which are bounded: an operator's command, not a hot path.

local wanted, dropped = {}, 0
for _, digest in ipairs(ARGV) do wanted[digest] = true end

for _, name in ipairs(redis.call('ZRANGE', KEYS[1] .. 'dead', 0, -1)) do
  if wanted[string.match(name, '^%S+')] then
    redis.call('ZREM', KEYS[1] .. 'dead', name)
    redis.call('HDEL', KEYS[1] .. 'letters', name)
    dropped = dropped + 1
  end
end
return dropped
