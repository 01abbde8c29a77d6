-- uses: fetch_queue
-- Queue refs for fetching from one holder, due now.
--
-- KEYS, ARGV[1..3]  see fetch_queue.lua
-- ARGV[4]   items one queue may hold
-- ARGV[5..] digest and "size published id", by turns
-- Returns   per ref 1 where it is queued now, 0 where the queue is full or it is a dead letter
-- Atomic    because two puts of the same refs may come at once, and the bound is on the sum

local items_max = tonumber(ARGV[4])
local digests, names = {}, {}
for i = 5, #ARGV, 2 do
  digests[#digests + 1] = ARGV[i]
  names[#names + 1] = ARGV[i] .. ' ' .. holder
end

local held = read_fields(root .. 'items:' .. holder, digests)
local buried = read_fields(LETTERS, names)
local room = items_max - redis.call('HLEN', root .. 'items:' .. holder)

local queued, new, items, scores = {}, {}, {}, {}
for i, digest in ipairs(digests) do
  if held[i] or new[digest] then
    queued[i] = 1
  elseif buried[i] or room <= 0 then
    queued[i] = 0
  else
    queued[i], new[digest], room = 1, true, room - 1
    items[#items + 1], items[#items + 2] = digest, ARGV[3 + 2 * i + 1]
    scores[#scores + 1], scores[#scores + 2] = now, digest
  end
end

each_chunk('HSET', root .. 'items:' .. holder, items)
each_chunk('ZADD', root .. 'queue:' .. holder, scores)
touch(holder)
return queued
