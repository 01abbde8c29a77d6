-- uses: fetch_queue
-- Queue dead letters again, due now, with no attempts counted.
--
-- KEYS, ARGV[1..3]  see fetch_queue.lua; without a holder, letters of all of them are meant
-- ARGV[4]   items one queue may hold
-- ARGV[5..] digests
-- Returns   how many letters were queued; one whose holder's queue is full stays dead
-- Atomic    because a letter must be in one place
--
-- Looks at all letters, which are bounded: an operator's command, not a hot path.

local wanted, queued, touched = {}, 0, {}
for i = 5, #ARGV do wanted[ARGV[i]] = true end

for _, name in ipairs(redis.call('ZRANGE', DEAD, 0, -1)) do
  local digest, of = string.match(name, '^(%S+) (%S+)$')
  local items = root .. 'items:' .. of
  local meant = wanted[digest] and (holder == '' or holder == of)
  local letter = meant and redis.call('HGET', LETTERS, name)
  if letter and redis.call('HLEN', items) < tonumber(ARGV[4]) then
    local new = redis.call('HSET', items, digest, string.match(letter, '^%d+ (%d+ %d+ %S+)'))
    if new == 1 then recount({ digest }, 1) end
    redis.call('ZADD', root .. 'queue:' .. of, now, digest)
    redis.call('ZREM', DEAD, name)
    redis.call('HDEL', LETTERS, name)
    touched[of], queued = true, queued + 1
  end
end

for of in pairs(touched) do touch(of) end
return queued
