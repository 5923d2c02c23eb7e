"""redis-py against kv and against redis-server: every command, reply by reply.

python redis_py.py KV_PORT REDIS_PORT. Prints the commands that were compared; exits with 1 at the first
difference. Replies whose order or value is the server's own (sets, SCAN, INFO) are compared by their shape.
"""

import random
import sys

import redis

PORTS = [int(port) for port in sys.argv[1:3]]
FAR = 9_000_000_000
compared = set()


def shape(reply):
    """The types of a reply, without what the server chose."""
    if isinstance(reply, dict):
        return {"dict"}
    if isinstance(reply, (list, tuple, set)):
        return [type(reply).__name__]
    return type(reply).__name__


def unordered(reply):
    return sorted(reply) if isinstance(reply, (list, set)) else reply


def scanned(reply):
    """One SCAN: all elements, in any order, and the end."""
    cursor, items = reply
    return cursor, sorted(items.items()) if isinstance(items, dict) else sorted(items)


def same(reply):
    return reply


def outcome(client, call):
    try:
        return call(client)
    except redis.RedisError as error:
        return f"{type(error).__name__}: {error}"


class Pair:
    """The same calls to both servers."""

    def __init__(self, protocol, decode):
        options = {"protocol": protocol, "decode_responses": decode, "socket_timeout": 60}
        self.clients = [redis.Redis(port=port, **options) for port in PORTS]
        self.about = f"protocol {protocol}, {'text' if decode else 'bytes'}"

    def __call__(self, name, *args, by=same, **kwargs):
        """Calls a method of redis-py."""
        return self.run(name, lambda client: getattr(client, name)(*args, **kwargs), by, (args, kwargs))

    def say(self, *words, by=same):
        """Sends a command as it is."""
        return self.run(words[0], lambda client: client.execute_command(*words), by, words)

    def run(self, name, call, by, about):
        ours, theirs = [outcome(client, call) for client in self.clients]
        failed = [isinstance(reply, str) and "Error: " in reply for reply in (ours, theirs)]
        compared.add(name.split()[0].upper())
        if not any(failed):
            ours, theirs = by(ours), by(theirs)
        if ours != theirs:
            print(f"{self.about}: {name} {about}\nours   {ours!r}\ntheirs {theirs!r}")
            sys.exit(1)
        return ours


def strings(r):
    r("set", "a", "1")
    r("set", "a", "2", nx=True)
    r("set", "a", "2", xx=True, get=True)
    r("set", "b", "x", ex=1000)
    r("set", "b", "y", keepttl=True)
    r("set", "c", "z", px=100_000)
    r("set", "c", "z", exat=FAR)
    r("set", "c", "z", pxat=FAR * 1000)
    r("set", "c", "z", ex=0)
    for key in ["a", "b", "c", "none"]:
        for name in ["get", "strlen", "type", "exists", "expiretime", "pexpiretime", "object"]:
            # A time that was told as a span begins at a different moment on each.
            by = (lambda at: at > 0) if key == "b" and name.endswith("expiretime") else same
            r(name, *(["encoding", key] if name == "object" else [key]), by=by)
    r("setnx", "a", "3")
    r.say("SETEX", "d", 1000, "v")
    r.say("SETEX", "d", -1, "v")
    r("psetex", "d", 100_000, "v")
    r("getset", "a", "4")
    r("getdel", "d")
    r("getex", "a", ex=1000)
    r("getex", "a", persist=True)
    r("mset", {"m1": "1", "m2": "two"})
    r("msetnx", {"m2": "1", "m3": "2"})
    r("mget", ["m1", "m2", "m3"])
    r("append", "m2", "!")
    r("setrange", "m2", 10, "far")
    r("getrange", "m2", -3, -1)
    r("incr", "n")
    r("incrby", "n", 10)
    r("decr", "n")
    r("decrby", "n", 3)
    r("incr", "m2")
    r("incrbyfloat", "f", 0.5)
    r("incrbyfloat", "f", "1e2")
    r("set", "binary", bytes(range(256)) * 10)
    if "bytes" in r.about:
        r("get", "binary")


def keys(r):
    r("rename", "m1", "moved")
    r("rename", "none", "moved")
    r("renamenx", "moved", "a")
    r("copy", "a", "copied")
    r("copy", "a", "copied", replace=True)
    r("touch", "a", "copied", "none")
    r("expire", "a", 1000)
    r("expire", "a", 500, gt=True)
    r("pexpire", "a", 1_000_000)
    r("expireat", "a", FAR)
    r("pexpireat", "a", FAR * 1000)
    r("ttl", "none")
    r("pttl", "copied")
    r("ttl", "a", by=lambda seconds: seconds > 1000)
    r("persist", "a")
    r("persist", "a")
    r("keys", "*", by=unordered)
    r("keys", "m?")
    r("scan", 0, count=1000, by=scanned)
    r("scan", 0, match="m*", count=1000, by=scanned)
    r("scan", 0, count=1000, _type="string", by=scanned)
    r("randomkey", by=shape)
    r("dbsize")
    r("unlink", "copied", "none")
    r("delete", "moved", "a")


def lists(r):
    r("rpush", "l", *"abcdef")
    r("lpush", "l", "z", "y")
    r("lpushx", "none", "a")
    r("rpushx", "l", "g")
    r("llen", "l")
    for begin, end in [(0, -1), (2, 4), (-3, -1), (5, 1), (0, 100)]:
        r("lrange", "l", begin, end)
    r("lindex", "l", -1)
    r("lset", "l", 0, "first")
    r("lset", "l", 100, "none")
    r("lrem", "l", 1, "c")
    r("ltrim", "l", 0, 4)
    r("lpop", "l")
    r("rpop", "l", 2)
    r("lpop", "none", 2)
    r("get", "l")
    r("object", "encoding", "l")


def hashes(r):
    r("hset", "h", mapping={"a": "1", "b": "two", "": "empty"})
    r("hset", "h", "c", "3")
    r("hget", "h", "b")
    r("hmget", "h", ["a", "none"])
    r("hgetall", "h")
    r("hkeys", "h")
    r("hvals", "h")
    r("hlen", "h")
    r("hexists", "h", "none")
    r("hincrby", "h", "a", 41)
    r("hincrby", "h", "b", 1)
    r("hdel", "h", "a", "none")
    r("hscan", "h", 0, by=scanned)
    r("hset", "big", mapping={f"field {n}": n for n in range(300)})
    r("hgetall", "big", by=lambda fields: sorted(fields.items()))
    r("hscan", "big", 0, count=1000, by=scanned)
    r("lpush", "h", "wrong")


def sets(r):
    r("sadd", "s", *range(20), "word")
    r("sadd", "s", 1, 2)
    r("srem", "s", 3, "none")
    r("smembers", "s", by=unordered)
    r("sismember", "s", "word")
    r("scard", "s")
    r("sscan", "s", 0, count=1000, by=scanned)
    r("srandmember", "s", by=shape)
    r("srandmember", "s", 5, by=len)
    r("srandmember", "s", -50, by=len)
    r("sadd", "one", "member")
    r("spop", "one")
    r("spop", "one")
    r("spop", "s", 100, by=unordered)
    r("exists", "s")


def sorted_sets(r):
    r("zadd", "z", {"a": 1, "b": 2.5, "c": -1, "inf": float("inf")})
    r("zadd", "z", {"a": 5}, nx=True)
    r("zadd", "z", {"a": 5, "d": 6}, ch=True)
    r("zadd", "z", {"a": 2}, gt=True, ch=True)
    r("zadd", "z", {"a": 3}, incr=True)
    r("zscore", "z", "a")
    r("zscore", "z", "none")
    r("zcard", "z")
    r("zrange", "z", 0, -1)
    r("zrange", "z", 0, -1, withscores=True)
    r.say("ZRANGE", "z", 0, 1, "REV")
    r("zpopmin", "z")
    r("zpopmin", "z", 2)
    r("zrem", "z", "d", "none")


def connection(r):
    r("ping")
    r("echo", "text")
    r("client_setname", "tester")
    r("client_getname")
    r("client_id", by=shape)
    r("client_list", by=shape)
    r("client_no_evict", "ON")
    r("client_kill_filter", _id=99999999)
    r("config_get", "save")
    r("config_get", "maxmemory-pol*")
    r("config_set", "zork", "1")
    r("info", by=shape)
    r("info", "memory", by=shape)
    r("time", by=shape)
    r("memory_usage", "binary", by=shape)
    r("memory_usage", "none")
    r("memory_stats", by=shape)
    r.say("MEMORY DOCTOR", by=shape)
    r("command_count", by=shape)
    r.say("COMMAND INFO", "zork", by=shape)
    r.say("COMMAND DOCS", "zork")
    r.say("SELECT", 0)
    r.say("SELECT", "x")
    r.say("AUTH", "wrong")
    r.say("HELLO", 9)
    r.say("RESET")
    # A reset has changed the protocol; redis-py does not know, so it begins anew.
    for client in r.clients:
        client.connection_pool.disconnect()
    r.say("ZORK", "a", "b")
    r.say("GET")
    r.say("QUIT")


def pipelines(r):
    """Batches as redis-py sends them, without MULTI; errors in place."""
    random.seed(7)
    words = ["a", "b", "12", "-3", "", "x y", "ü"]
    for _ in range(30):
        calls = []
        for _ in range(random.randrange(1, 60)):
            key = random.choice(["p", "q", "r"])
            calls.append(random.choice([
                ("set", key, random.choice(words)), ("get", key), ("append", key, random.choice(words)),
                ("incr", key), ("delete", key), ("rpush", key, *random.choices(words, k=3)),
                ("lrange", key, 0, -1), ("hset", key, random.choice(words), 1), ("hgetall", key),
                ("zadd", key, {random.choice(words): random.randrange(9)}), ("zrange", key, 0, -1),
                ("type", key), ("object", "encoding", key),
            ]))

        def run(client):
            pipe = client.pipeline(transaction=False)
            for name, *args in calls:
                getattr(pipe, name)(*args)
            replies = pipe.execute(raise_on_error=False)
            # A hash of several fields comes in an order of the server's own.
            return [f"{type(reply).__name__}: {reply}" if isinstance(reply, Exception) else
                    sorted(reply.items()) if isinstance(reply, dict) else reply for reply in replies]

        r.run("pipeline", run, same, calls)


def large(r):
    for size in [1, 16_383, 65_536, 3_000_000]:
        r("set", "large", "v" * size)
        r("get", "large")
        r("append", "large", "end")
        r("getrange", "large", size - 2, -1)
    r("mget", ["large"] * 3)


def main():
    for protocol in (2, 3):
        for decode in (True, False):
            r = Pair(protocol, decode)
            r("flushall")
            for part in (strings, keys, lists, hashes, sets, sorted_sets, connection, pipelines, large):
                part(r)
            r("flushdb", asynchronous=True)
            r("dbsize")
    print("compared:", *sorted(compared))


main()
