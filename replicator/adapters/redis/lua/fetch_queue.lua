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

-- Take digests out of one holder's queue, leased or not; return how many were in it.
local function remove(of, digests)
  local removed = each_chunk('HDEL', root .. 'items:' .. of, digests)
  if removed > 0 then
    each_chunk('ZREM', root .. 'queue:' .. of, digests)
    each_chunk('HDEL', root .. 'tries:' .. of, digests)
    each_chunk('HDEL', root .. 'leased:' .. of, digests)
  end
  return removed
end

-- Move one item of this holder to the dead letters, counting the try that ended it.
local function bury(digest, item, reason, letters_max)
  local tries = redis.call('HINCRBY', root .. 'tries:' .. holder, digest, 1)
  local name = digest .. ' ' .. holder
  remove(holder, { digest })
  redis.call('ZADD', DEAD, now, name)
  redis.call('HSET', LETTERS, name, tries .. ' ' .. item .. ' ' .. reason)
  if redis.call('ZCARD', DEAD) > letters_max then
    redis.call('HDEL', LETTERS, redis.call('ZPOPMIN', DEAD)[1])
  end
end

-- After any change of a queue: keep the index of holders true and the queue's keys alive.
local function touch(of)
  local earliest = redis.call('ZRANGE', root .. 'queue:' .. of, 0, 0, 'WITHSCORES')
  if not earliest[2] then
    redis.call('ZREM', DUE, of)
    return
  end
  redis.call('ZADD', DUE, earliest[2], of)
  for _, part in ipairs({ 'queue:', 'items:', 'tries:', 'leased:' }) do
    redis.call('PEXPIRE', root .. part .. of, idle_ms)
  end
end
