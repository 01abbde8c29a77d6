-- Store a request, spend its nonce and take a token of its sender's bucket.
--
-- KEYS[1]   the nonce of (sender, nonce)
-- KEYS[2]   the stored request
-- KEYS[3]   when the sender's bucket is full (see rules/buckets.py)
-- ARGV[1]   the receipt's token       ARGV[2]  now, ms
-- ARGV[3]   when the nonce expires    ARGV[4]  ms for which it is kept
-- ARGV[5]   ms for which the request is kept
-- ARGV[6]   packed receipt            ARGV[7]  body
-- ARGV[8]   ms of one token           ARGV[9]  ms in which an empty bucket fills
-- Returns   0; or, and nothing changed, -1 where another receipt used the nonce, and where the
--           bucket is empty the ms to wait
-- Atomic    because of two copies of one request only one may pass, a spent nonce without its
--           stored request would refuse the sender for nothing, and a copy costs no token

local now = tonumber(ARGV[2])
local used = redis.call('GET', KEYS[1])
if used then
  local expires, owner = string.match(used, '^(%d+) (.*)$')
  if owner ~= ARGV[1] and tonumber(expires) > now then return -1 end
end
local span = tonumber(ARGV[9])
local full_at = tonumber(redis.call('GET', KEYS[3]) or '0')
if full_at > now + span + 1 then full_at = now end
local after = math.max(full_at, now) + tonumber(ARGV[8])
local wait = after - span - now
if wait >= 1 then return math.ceil(wait) end
-- kept as long as the nonce, or until it is full where that is later
local kept = math.max(tonumber(ARGV[4]), math.ceil(after - now))
redis.call('SET', KEYS[3], string.format('%.17g', after), 'PX', kept)
redis.call('SET', KEYS[1], ARGV[3] .. ' ' .. ARGV[1], 'PX', ARGV[4])
redis.call('HSET', KEYS[2], 'receipt', ARGV[6], 'body', ARGV[7])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return 0
