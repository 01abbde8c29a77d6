-- uses: fetch_queue
-- Drop all that is kept of one peer.
--
-- KEYS[1], ARGV[1]  see fetch_queue.lua; the holder is the peer
-- KEYS[2..4] sets of peers that it leaves
-- KEYS[5..]  its doorbells, leases, times and records, which go as they are
-- Returns    nothing
-- Atomic     because a worker may be at work for the peer: its late `settle` must find no lease
--
-- Looks at all dead letters, which are bounded: an operator's command, not a hot path.

for i = 2, 4 do redis.call('ZREM', KEYS[i], holder) end
for i = 5, #KEYS do redis.call('DEL', KEYS[i]) end

local leased, digests = redis.call('HGETALL', root .. 'leased:' .. holder), {}
for i = 1, #leased, 2 do
  digests[#digests + 1] = leased[i]
  redis.call('DEL', root .. 'lease:' .. leased[i + 1])
end
for i, claim in ipairs(read_claims(digests)) do
  local _, _, claimant = read_claim(claim or '')
  if claimant == holder then redis.call('DEL', root .. 'claim:' .. digests[i]) end
end
drop_queue(holder)

for _, name in ipairs(redis.call('ZRANGE', DEAD, 0, -1)) do
  if string.match(name, '^%S+ (%S+)$') == holder then
    redis.call('ZREM', DEAD, name)
    redis.call('HDEL', LETTERS, name)
  end
end
