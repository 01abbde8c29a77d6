-- Remove dead letters.
--
-- KEYS[1]   the root of the queue's keys
-- ARGV[1]   the holder whose letters are meant; empty: letters of all holders
-- ARGV[2..] digests
-- Returns   how many letters were removed
-- Atomic    because the list and its texts are two keys
--
-- Looks at all letters, which are bounded: an operator's command, not a hot path.

local wanted, dropped = {}, 0
for i = 2, #ARGV do wanted[ARGV[i]] = true end

for _, name in ipairs(redis.call('ZRANGE', KEYS[1] .. 'dead', 0, -1)) do
  local digest, of = string.match(name, '^(%S+) (%S+)$')
  if wanted[digest] and (ARGV[1] == '' or ARGV[1] == of) then
    redis.call('ZREM', KEYS[1] .. 'dead', name)
    redis.call('HDEL', KEYS[1] .. 'letters', name)
    dropped = dropped + 1
  end
end
return dropped
