-- Store a request and spend its nonce.
--
-- KEYS[1]   the nonce of (sender, nonce)
-- KEYS[2]   the stored request
-- ARGV[1]   the receipt's token       ARGV[2]  now, ms
-- ARGV[3]   when the nonce expires    ARGV[4]  ms for which it is kept
-- ARGV[5]   ms for which the request is kept
-- ARGV[6]   packed receipt            ARGV[7]  body
-- Returns   1; 0, and nothing stored, where another receipt used the nonce
-- Atomic    because of two copies of one request only one may pass, and a spent nonce without its
--           stored request would refuse the sender for nothing

local used = redis.call('GET', KEYS[1])
if used then
  local expires, owner = string.match(used, '^(%d+) (.*)$')
  if owner ~= ARGV[1] and tonumber(expires) > tonumber(ARGV[2]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[3] .. ' ' .. ARGV[1], 'PX', ARGV[4])
redis.call('HSET', KEYS[2], 'receipt', ARGV[6], 'body', ARGV[7])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return 1
