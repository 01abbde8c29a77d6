"""The work in hand, in Redis or Valkey: `work.RedisWorkState` and `replies.ReplyReader`.

Anything here may vanish at any moment; that costs time, never data. `keys` lists every key.
"""
