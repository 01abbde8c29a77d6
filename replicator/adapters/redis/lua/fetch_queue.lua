-- What the scripts of the fetch queue share. Local functions only; it is put before each of them.
--
-- All of them begin alike:
--   KEYS[1]  the root of the queue's keys, "PREFIXfetch:" (schema: keys.py)
--   ARGV[1]  holder whose queue is worked on ("" where there is none)
--   ARGV[2]  now, ms since the epoch
--   ARGV[3]  ms for which an untouched queue is kept
-- Times that are written come as ARGV or from the server, as text: Lua rounds large numbers when
-- it prints them.

local root, holder, now, idle_ms = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local DUE, DEAD, LETTERS = root .. 'due', root .. 'dead', root .. 'letters'
local HOLDERS = root .. 'holders'

-- Argument lists are cut here: Lua's stack holds about 8,000 values. Even, so pairs stay whole.
local CHUNK = 1000

-- Run a command over any number of arguments; return the sum of its answers.
local function each_chunk(command, key, list)
  local sum = 0
  for first = 1, #list, CHUNK do
    local last = math.min(first + CHUNK - 1, #list)
    sum = sum + redis.call(command, key, unpack(list, first, last))
  end
  return sum
end

-- Read hash fields, any number; absent ones are false.
local function read_fields(key, fields)
  local values = {}
  for first = 1, #fields, CHUNK do
    local last = math.min(first + CHUNK - 1, #fields)
    for i, value in ipairs(redis.call('HMGET', key, unpack(fields, first, last))) do
      values[first + i - 1] = value
    end
  end
  return values
end

-- Read the claims of digests; absent ones are false.
local function read_claims(digests)
  local claims = {}
  for first = 1, #digests, CHUNK do
    local names = {}
    for i = first, math.min(first + CHUNK - 1, #digests) do
      names[#names + 1] = root .. 'claim:' .. digests[i]
    end
    for i, claim in ipairs(redis.call('MGET', unpack(names))) do
      claims[first + i - 1] = claim
    end
  end
  return claims
end

-- A claim is "expires token holder".
local function read_claim(claim)
  local expires, token, claimant = string.match(claim, '^(%d+) (%S+) (%S+)$')
  return expires, token, claimant
end

-- Drop the claims of digests; where a token is given, only its own.
local function release_claims(digests, token)
  local names = {}
  local claims = token and read_claims(digests)
  for i, digest in ipairs(digests) do
    local own = true
    if token then
      local _, owner = read_claim(claims[i] or '')
      own = owner == token
    end
    if own then
      names[#names + 1] = root .. 'claim:' .. digest
    end
  end
  for first = 1, #names, CHUNK do
    redis.call('DEL', unpack(names, first, math.min(first + CHUNK - 1, #names)))
  end
end

-- Count a holder more (`by` 1) or less (-1) for digests; return what the counts were.
--
-- They may be too high, where a queue was lost, and then one holder more is believed in; they must
-- not be too low, and so are kept for longer than any queue.
local function recount(digests, by)
  local counts, more, none = read_fields(HOLDERS, digests), {}, {}
  for i, digest in ipairs(digests) do
    counts[i] = tonumber(counts[i]) or 0
    if counts[i] + by > 0 then
      more[#more + 1], more[#more + 2] = digest, string.format('%d', counts[i] + by)
    else
      none[#none + 1] = digest
    end
  end
  each_chunk('HSET', HOLDERS, more)
  each_chunk('HDEL', HOLDERS, none)
  return counts
end

-- Take digests out of one holder's queue, leased or not; return how many were in it.
local function remove(of, digests)
  local there = {}
  for i, item in ipairs(read_fields(root .. 'items:' .. of, digests)) do
    if item then there[#there + 1] = digests[i] end
  end
  if #there > 0 then
    each_chunk('HDEL', root .. 'items:' .. of, there)
    each_chunk('ZREM', root .. 'queue:' .. of, there)
    each_chunk('HDEL', root .. 'tries:' .. of, there)
    each_chunk('HDEL', root .. 'suspects:' .. of, there)
    each_chunk('HDEL', root .. 'leased:' .. of, there)
    recount(there, -1)
  end
  return #there
end

-- Drop what is left of a holder's queue: it is empty, or has expired, or the holder is forgotten.
local function drop_queue(of)
  recount(redis.call('HKEYS', root .. 'items:' .. of), -1)
  for _, part in ipairs({ 'queue:', 'items:', 'tries:', 'suspects:', 'leased:' }) do
    redis.call('DEL', root .. part .. of)
  end
  redis.call('ZREM', DUE, of)
end

-- Move one item of this holder to the dead letters, counting the try that ended it.
local function bury(digest, item, reason, letters_max)
  local tries = tonumber(redis.call('HGET', root .. 'tries:' .. holder, digest) or 0)
  local suspicions = tonumber(redis.call('HGET', root .. 'suspects:' .. holder, digest) or 0)
  local count = string.format('%d', tries + suspicions + 1)
  local name = digest .. ' ' .. holder
  remove(holder, { digest })
  redis.call('ZADD', DEAD, now, name)
  redis.call('HSET', LETTERS, name, count .. ' ' .. item .. ' ' .. reason)
  if redis.call('ZCARD', DEAD) > letters_max then
    redis.call('HDEL', LETTERS, redis.call('ZPOPMIN', DEAD)[1])
  end
end

-- Count a suspicion against an item of this holder; true where it was the last one: it is dead.
local function suspect(digest, item, reason, suspicions_max, letters_max)
  local suspicions = redis.call('HINCRBY', root .. 'suspects:' .. holder, digest, 1)
  if suspicions < suspicions_max then return false end
  redis.call('HINCRBY', root .. 'suspects:' .. holder, digest, -1)
  bury(digest, item, reason, letters_max)
  return true
end

-- After any change of a queue: keep the index of holders true and the queue's keys alive.
--
-- The queue itself is the first to go; what it held is known for longer, so that the counts of
-- holders can be mended, and the counts are kept for longer than that.
local function touch(of)
  local earliest = redis.call('ZRANGE', root .. 'queue:' .. of, 0, 0, 'WITHSCORES')
  if not earliest[2] then
    drop_queue(of)
    return
  end
  redis.call('ZADD', DUE, earliest[2], of)
  redis.call('PEXPIRE', root .. 'queue:' .. of, idle_ms)
  for _, part in ipairs({ 'items:', 'tries:', 'suspects:', 'leased:' }) do
    redis.call('PEXPIRE', root .. part .. of, string.format('%d', 2 * idle_ms))
  end
  redis.call('PEXPIRE', HOLDERS, string.format('%d', 3 * idle_ms))
end

-- Drop what is left of a queue that expired. Writes nothing where nothing is: a script that has
-- written once may write on where the server is full.
local function tend(of)
  if redis.call('EXISTS', root .. 'queue:' .. of) == 1 then return end
  if redis.call('EXISTS', root .. 'items:' .. of) == 1 then drop_queue(of) end
end
