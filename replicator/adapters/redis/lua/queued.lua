-- uses: fetch_queue
-- Count what is queued.
--
-- KEYS[1]   see fetch_queue.lua; no ARGV
-- Returns   holder and number of its items, leased ones included, by turns
-- Atomic    so that an item moving between queues is not counted twice

local answer = {}
for _, other in ipairs(redis.call('ZRANGE', DUE, 0, -1)) do
  answer[#answer + 1] = other
  answer[#answer + 1] = redis.call('HLEN', root .. 'items:' .. other)
end
return answer
