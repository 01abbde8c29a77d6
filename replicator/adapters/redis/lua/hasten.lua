-- uses: fetch_queue
-- Make items of one holder that wait for a later attempt due now.
--
-- KEYS, ARGV[1..3]  see fetch_queue.lua
-- Returns   how many
-- Atomic    because an item that is leased meanwhile must keep its lease's time
--
-- Looks at the whole queue, which is bounded: an operator's command, not a hot path.

local waiting = redis.call('ZRANGEBYSCORE', root .. 'queue:' .. holder, '(' .. now, '+inf')
local scores = {}
for i, token in ipairs(read_fields(root .. 'leased:' .. holder, waiting)) do
  if not token then scores[#scores + 1], scores[#scores + 2] = now, waiting[i] end
end
each_chunk('ZADD', root .. 'queue:' .. holder, scores)
touch(holder)
return #scores / 2
