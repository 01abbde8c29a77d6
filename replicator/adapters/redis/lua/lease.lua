-- uses: fetch_queue
-- Lease due items of one holder to one worker.
--
-- KEYS, ARGV[1..3]  see fetch_queue.lua
-- ARGV[4]   the new lease's token
-- ARGV[5]   items at most
-- ARGV[6]   sum of sizes at most; the first item is given whatever its size
-- ARGV[7]   when the lease expires        ARGV[8]   ms for which its record is kept
-- ARGV[9]   when its claims expire        ARGV[10]  ms for which they are kept
-- ARGV[11]  when a passed-over item is looked at again, at the latest
-- ARGV[12]  suspicions an item dies of  ARGV[13]  dead letters kept
-- ARGV[14]  items in a lease with one that has a suspicion
-- Returns   digest, "size published id", attempts, suspicions, by turns; empty: nothing is due
-- Atomic    because an item must have one worker, and a digest one holder, at a time
--
-- An item whose lease expired is in the queue under that time: it comes up here by itself, with
-- one suspicion counted, and past the bound it becomes a dead letter ("worker lost"). One that is
-- suspected makes the lease small, and comes first in the next one where it did not fit.
-- Everything looked at is taken, gets a later time, leaves the queue, or ends the loop.

local token, room, bytes_max = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local lease_until, lease_ms, claim_until, claim_ms = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local again_at, suspicions_max = ARGV[11], tonumber(ARGV[12])
local letters_max, suspects_max = tonumber(ARGV[13]), tonumber(ARGV[14])
local queue, leased = root .. 'queue:' .. holder, root .. 'leased:' .. holder
local tries, suspects = root .. 'tries:' .. holder, root .. 'suspects:' .. holder

local taken, sizes, taken_items, full = {}, 0, {}, false

-- End an expired lease of one item: true where the item is dead now.
local function expire(digest, item, lost)
  redis.call('DEL', root .. 'lease:' .. lost)
  release_claims({ digest }, lost)
  redis.call('HDEL', leased, digest)
  return suspect(digest, item, 'worker lost', suspicions_max, letters_max)
end

-- When a foreign claim on the item ends, or nil.
local function claimed_until(claim)
  local expires, _, claimant = read_claim(claim)
  if expires and claimant ~= holder and tonumber(expires) > tonumber(now) then
    return expires
  end
end

local function take(page)
  local items, losts = read_fields(root .. 'items:' .. holder, page), read_fields(leased, page)
  local claims, doubts, scores, marks = read_claims(page), read_fields(suspects, page), {}, {}
  for i, digest in ipairs(page) do
    if #taken >= room then break end
    local item = items[i]
    local dead = item and losts[i] and expire(digest, item, losts[i])
    local foreign = item and claims[i] and claimed_until(claims[i])
    if not item then
      redis.call('ZREM', queue, digest)
    elseif foreign and not dead then
      local later = tonumber(foreign) < tonumber(again_at) and foreign or again_at
      scores[#scores + 1], scores[#scores + 2] = later, digest
    elseif not dead then
      local size = tonumber(string.match(item, '^%d+'))
      local suspicions = (tonumber(doubts[i]) or 0) + (losts[i] and 1 or 0)
      if suspicions > 0 then room = math.min(room, suspicions > 1 and 1 or suspects_max) end
      if #taken > 0 and (#taken >= room or sizes + size > bytes_max) then
        full = true
        break
      end
      taken[#taken + 1], taken_items[#taken_items + 1], sizes = digest, item, sizes + size
      scores[#scores + 1], scores[#scores + 2] = lease_until, digest
      marks[#marks + 1], marks[#marks + 2] = digest, token
      local claim = claim_until .. ' ' .. token .. ' ' .. holder
      redis.call('SET', root .. 'claim:' .. digest, claim, 'PX', claim_ms)
    end
  end
  each_chunk('ZADD', queue, scores)
  each_chunk('HSET', leased, marks)
end

while #taken < room and not full do
  local page = redis.call('ZRANGEBYSCORE', queue, '-inf', now, 'LIMIT', 0,
                          math.min(room - #taken, CHUNK))
  if #page == 0 then break end
  take(page)
end

touch(holder)
if #taken == 0 then return {} end
redis.call('SET', root .. 'lease:' .. token, holder, 'PX', lease_ms)

local counts, doubts, answer = read_fields(tries, taken), read_fields(suspects, taken), {}
for i, digest in ipairs(taken) do
  answer[#answer + 1], answer[#answer + 2] = digest, taken_items[i]
  answer[#answer + 1], answer[#answer + 2] = counts[i] or '0', doubts[i] or '0'
end
return answer
