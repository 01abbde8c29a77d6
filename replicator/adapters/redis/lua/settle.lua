-- uses: fetch_queue
-- End a lease.
--
-- KEYS, ARGV[1..3]  see fetch_queue.lua
-- ARGV[4]       the lease's token
-- ARGV[5]       dead letters kept           ARGV[6]  suspicions an item dies of
-- ARGV[7..13]   how many digests are done, missing, given back, dead, failed, suspected, muted
-- ARGV[14..]    done digests, missing digests, digests given back, dead digest and reason by
--               turns, failed digest and next attempt by turns, suspected digest and reason by
--               turns, muted digest and next attempt by turns
-- Returns       1; 0, and nothing changed, where the lease stands no more
-- Atomic        because the fence must hold until the last change
--
-- Items that left the queue meanwhile (another holder delivered them) are passed over. Other
-- holders' queues are looked through only for digests that are counted there.

local token, letters_max, suspicions_max = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local queue, leased = root .. 'queue:' .. holder, root .. 'leased:' .. holder
local next_arg = 14

-- The next list of ARGV: keys, and where `paired` the values beside them.
local function read_list(count, paired)
  local keys, values = {}, {}
  for _ = 1, tonumber(count) do
    keys[#keys + 1] = ARGV[next_arg]
    if paired then values[ARGV[next_arg]] = ARGV[next_arg + 1] end
    next_arg = next_arg + (paired and 2 or 1)
  end
  return keys, values
end

-- Of the digests, those that this lease still has.
local function own(digests)
  local mine = {}
  for i, owner in ipairs(read_fields(leased, digests)) do
    if owner == token then mine[#mine + 1] = digests[i] end
  end
  return mine
end

-- Give items back to the queue at the times that `at` returns.
local function give_back(digests, at)
  local scores = {}
  for _, digest in ipairs(digests) do
    scores[#scores + 1], scores[#scores + 2] = at(digest), digest
  end
  each_chunk('ZADD', queue, scores)
  each_chunk('HDEL', leased, digests)
end

if redis.call('DEL', root .. 'lease:' .. token) == 0 then return 0 end

local done = read_list(ARGV[7])
local missing = own((read_list(ARGV[8])))
local rest = own((read_list(ARGV[9])))
local dead, reasons = read_list(ARGV[10], true)
local failed, times = read_list(ARGV[11], true)
local suspects, doubts = read_list(ARGV[12], true)
local muted, until_times = read_list(ARGV[13], true)
dead, failed, suspects, muted = own(dead), own(failed), own(suspects), own(muted)

remove(holder, done)
local shared = {}
for i, count in ipairs(read_fields(HOLDERS, done)) do
  if count then shared[#shared + 1] = done[i] end
end
for _, other in ipairs(#shared > 0 and redis.call('ZRANGE', DUE, 0, -1) or {}) do
  if other ~= holder and remove(other, shared) > 0 then touch(other) end
end
each_chunk('HDEL', HOLDERS, shared)
release_claims(done)

for _, list in ipairs({ missing, rest, dead, failed, suspects, muted }) do
  release_claims(list, token)
end

remove(holder, missing)
give_back(rest, function() return now end)
give_back(suspects, function() return now end)
give_back(failed, function(digest) return times[digest] end)
give_back(muted, function(digest) return until_times[digest] end)
for _, digest in ipairs(failed) do
  redis.call('HINCRBY', root .. 'tries:' .. holder, digest, 1)
end
local items = read_fields(root .. 'items:' .. holder, dead)
for i, digest in ipairs(dead) do
  if items[i] then bury(digest, items[i], reasons[digest], letters_max) end
end
items = read_fields(root .. 'items:' .. holder, suspects)
for i, digest in ipairs(suspects) do
  if items[i] then suspect(digest, items[i], doubts[digest], suspicions_max, letters_max) end
end

touch(holder)
return 1
