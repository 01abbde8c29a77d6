-- uses: fetch_queue
-- Queue refs for fetching from one holder, due now.
--
-- KEYS, ARGV[1..3]  see fetch_queue.lua
-- ARGV[4]   items one queue may hold
-- ARGV[5]   latest time that an item may have: one of a clock that was put back is brought nearer
-- ARGV[6..] digest and "size published id", by turns
-- Returns   per ref 'queued', 'later' (another holder has it queued too), 'full' or 'dead'
-- Atomic    because two puts of the same refs may come at once, and the bound is on the sum
--
-- It looks after one more queue at random, so that none which expired is counted for long.

local items_max = tonumber(ARGV[4])
local digests, names = {}, {}
for i = 6, #ARGV, 2 do
  digests[#digests + 1] = ARGV[i]
  names[#names + 1] = ARGV[i] .. ' ' .. holder
end

tend(holder)
local other = redis.call('ZRANDMEMBER', DUE)
if other then tend(other) end

local held = read_fields(root .. 'items:' .. holder, digests)
local buried = read_fields(LETTERS, names)
local counts = read_fields(HOLDERS, digests)
local room = items_max - redis.call('HLEN', root .. 'items:' .. holder)

local answers, new, fresh, items, scores, bounds = {}, {}, {}, {}, {}, {}
for i, digest in ipairs(digests) do
  local others = (tonumber(counts[i]) or 0) - (held[i] and 1 or 0)
  if held[i] or new[digest] then
    answers[i] = others > 0 and 'later' or 'queued'
    bounds[#bounds + 1], bounds[#bounds + 2] = ARGV[5], digest
  elseif buried[i] then
    answers[i] = 'dead'
  elseif room <= 0 then
    answers[i] = 'full'
  else
    answers[i], new[digest], room = others > 0 and 'later' or 'queued', true, room - 1
    fresh[#fresh + 1] = digest
    items[#items + 1], items[#items + 2] = digest, ARGV[5 + 2 * i]
    scores[#scores + 1], scores[#scores + 2] = now, digest
  end
end

each_chunk('HSET', root .. 'items:' .. holder, items)
each_chunk('ZADD', root .. 'queue:' .. holder, scores)
for first = 1, #bounds, CHUNK do
  local last = math.min(first + CHUNK - 1, #bounds)
  redis.call('ZADD', root .. 'queue:' .. holder, 'XX', 'LT', unpack(bounds, first, last))
end
recount(fresh, 1)
touch(holder)
return answers
