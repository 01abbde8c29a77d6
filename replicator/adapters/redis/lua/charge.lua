-- Charge posts to the quotas of their deliverer and their origins.
--
-- KEYS[1]   levels: "peer NODE" and "origin NODE" to "posts bytes", when its buckets are full
-- KEYS[2]   the same names by the later of the two times
-- ARGV[1]   the deliverer             ARGV[2]  now, ms
-- ARGV[3]   1 to charge, 0 to ask     ARGV[4]  ms of a day
-- ARGV[5]   buckets kept              ARGV[6]  ms for which both keys are kept untouched
-- ARGV[7..10]  posts and bytes per day of a deliverer, of an origin; 0: no bound
-- ARGV[11..]   origin and size of each post by turns
-- Returns   per post 0, or the ms it has to wait
-- Atomic    so that two batches never spend the same tokens
--
-- The sums are those of rules/quotas.py.

local now, day = tonumber(ARGV[2]), tonumber(ARGV[4])
local accounts, order = {}, {}

local function account(name, posts, bytes)
  if accounts[name] then return accounts[name] end
  local stored = redis.call('HGET', KEYS[1], name)
  local level_posts, level_bytes = 0, 0
  if stored then
    level_posts, level_bytes = string.match(stored, '^(%S+) (%S+)$')
    level_posts, level_bytes = tonumber(level_posts), tonumber(level_bytes)
  end
  if level_posts > now + day + 1 then level_posts = now end
  if level_bytes > now + day + 1 then level_bytes = now end
  level_posts, level_bytes = math.max(level_posts, now), math.max(level_bytes, now)
  local made = {
    measures = { posts, bytes },
    levels = { level_posts, level_bytes },
    line = { level_posts, level_bytes },
    charged = false,
  }
  accounts[name], order[#order + 1] = made, name
  return made
end

-- The levels after one post, and how long it has to wait.
local function after(one, costs)
  local levels, longest = { 0, 0 }, 0
  for i = 1, 2 do
    local measure = one.measures[i]
    if measure > 0 then
      local start = one.levels[i]
      local full_at = start + math.min(costs[i], measure) * (day / measure)
      local wait = full_at - day - now
      if wait >= 1 then
        levels[i], longest = start, math.max(longest, wait)
      else
        levels[i] = full_at
      end
    end
  end
  return levels, longest
end

-- Give a post the next place in line.
local function queue(one, costs)
  local longest = 0
  for i = 1, 2 do
    local measure = one.measures[i]
    if measure > 0 then
      local place = one.line[i] + math.min(costs[i], measure) * (day / measure)
      longest = math.max(longest, place - day - now)
      one.line[i] = place
    else
      one.line[i] = 0
    end
  end
  return longest
end

local peer = account('peer ' .. ARGV[1], tonumber(ARGV[7]), tonumber(ARGV[8]))
local waits = {}
for i = 11, #ARGV, 2 do
  local origin = account('origin ' .. ARGV[i], tonumber(ARGV[9]), tonumber(ARGV[10]))
  local costs = { 1, tonumber(ARGV[i + 1]) }
  local peer_levels, peer_wait = after(peer, costs)
  local origin_levels, origin_wait = after(origin, costs)
  local queued = math.max(queue(peer, costs), queue(origin, costs))
  local wait = math.max(peer_wait, origin_wait)
  if wait < 1 then
    peer.levels, origin.levels = peer_levels, origin_levels
    peer.charged, origin.charged = true, true
    waits[#waits + 1] = 0
  else
    waits[#waits + 1] = math.floor(math.min(math.max(wait, queued, 1), day))
  end
end
if ARGV[3] == '0' then return waits end

for _, name in ipairs(order) do
  local one = accounts[name]
  local full_at = math.max(one.levels[1], one.levels[2])
  if one.charged and full_at > now then
    local levels = string.format('%.17g %.17g', one.levels[1], one.levels[2])
    redis.call('HSET', KEYS[1], name, levels)
    redis.call('ZADD', KEYS[2], string.format('%.17g', full_at), name)
  end
end
local function drop(names)
  for _, name in ipairs(names) do
    redis.call('HDEL', KEYS[1], name)
    redis.call('ZREM', KEYS[2], name)
  end
end
drop(redis.call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', 0, 1000))
local surplus = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[5])
if surplus > 0 then drop(redis.call('ZRANGE', KEYS[2], 0, surplus - 1)) end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
return waits
