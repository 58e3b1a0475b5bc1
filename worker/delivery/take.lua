-- Note that a worker has taken a message, in one step: neither kombu's index without the message nor the reverse.
-- KEYS: kombu's index of the messages that are not acknowledged, the hash of these messages.
-- ARGV: Unix time in seconds, delivery tag, the message as kombu notes it.
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
