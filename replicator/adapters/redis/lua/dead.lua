-- List dead letters, newest first.
--
-- KEYS[1]   the root of the queue's keys
-- ARGV[1]   letters at most
-- Returns   "digest holder", time, "attempts size published id reason", by turns
-- Atomic    because the list and its texts are two keys

if ARGV[1] == '0' then return {} end
local names = redis.call('ZREVRANGE', KEYS[1] .. 'dead', 0, ARGV[1] - 1, 'WITHSCORES')
local answer = {}
for i = 1, #names, 2 do
  local letter = redis.call('HGET', KEYS[1] .. 'letters', names[i])
  if letter then
    answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = names[i], names[i + 1], letter
  end
end
return answer
