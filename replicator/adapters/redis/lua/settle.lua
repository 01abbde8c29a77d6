-- uses: fetch_queue
-- End a lease.
--
-- KEYS, ARGV[1..3]  see fetch_queue.lua
-- ARGV[4]       the lease's token
-- ARGV[5]       dead letters kept
-- ARGV[6..10]   how many digests are done, missing, given back, dead, failed
-- ARGV[11..]    done digests, missing digests, digests given back,
--               then dead digest and reason by turns, then failed digest and next attempt by turns
-- Returns       1; 0, and nothing changed, where the lease stands no more
-- Atomic        because the fence must hold until the last change
--
-- Items that left the queue meanwhile (another holder delivered them) are passed over.

local token, letters_max = ARGV[4], tonumber(ARGV[5])
local queue, leased = root .. 'queue:' .. holder, root .. 'leased:' .. holder
local next_arg = 11

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

local done = read_list(ARGV[6])
local missing = own((read_list(ARGV[7])))
local rest = own((read_list(ARGV[8])))
local dead, reasons = read_list(ARGV[9], true)
local failed, times = read_list(ARGV[10], true)
dead, failed = own(dead), own(failed)

for _, other in ipairs(redis.call('ZRANGE', DUE, 0, -1)) do
  if other ~= holder and remove(other, done) > 0 then touch(other) end
end
remove(holder, done)
release_claims(done)

for _, list in ipairs({ missing, rest, dead, failed }) do release_claims(list, token) end

remove(holder, missing)
give_back(rest, function() return now end)
give_back(failed, function(digest) return times[digest] end)
for _, digest in ipairs(failed) do
  redis.call('HINCRBY', root .. 'tries:' .. holder, digest, 1)
end
local items = read_fields(root .. 'items:' .. holder, dead)
for i, digest in ipairs(dead) do bury(digest, items[i], reasons[digest], letters_max) end

touch(holder)
return 1
