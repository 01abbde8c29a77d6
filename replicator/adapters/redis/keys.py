"""The key schema of the work state: every key this node writes, its type, value and bound.

Pure. All keys begin with the node's prefix (``replicator:{node_id}:``), so that many nodes can
share one server. Times are ms since the epoch as decimal text. "lives" is the expiry given with
``PX``: garbage collection beside the times in the values, which decide.

    request:TOKEN         hash   receipt, body                        lives work_body_seconds
    nonce:SENDER:NONCE    string "expires receipt-token"              lives nonce_seconds
    rate:SENDER           string when its bucket of requests is full  lives nonce_seconds
    replies:GATEWAY       list   packed replies, oldest first         answers_in_flight_max; lives
                                                                      work_body_seconds
    refusals              list   packed records, newest first         refusal_records_max
    malformed             list   packed `MalformedEntry`, newest      malformed_entries_max; lives a
                                 first                                week after the last one
    doorbell:KIND:PEER    string expires                              lives doorbell_seconds
    hold:KIND:PEER        string "expires token"                      lives lease_seconds
    breaker:PEER          string packed `Breaker`; the default one    lives a day beyond the longest
                                 is not stored                        pause between two tries
    due:KIND:PEER         string time                                 lives a week
    progress:PEER         string packed `Progress`                    lives a day
    looks:due             zset   peer by when its keys are looked at  peers_max; lives a week
    looks:strange         zset   peer by the end of its pause, where  one per look in the longest
                                 another key signed                   pause; lives a week
    looks:lacking         zset   the same, where a key did not sign   as looks:strange
    quota:levels          hash   "peer NODE", "origin NODE" to        quota_buckets_max; lives two
                                 when its buckets are full            days untouched
    quota:full            zset   the same names by the later time     as quota:levels
    fetch:due             zset   holder by its earliest item's time   one per holder
    fetch:queue:HOLDER    zset   digest by next attempt; of a leased  fetch_queue_items_max;
                                 item: when its lease expires         lives a week untouched
    fetch:items:HOLDER    hash   digest to "size published id"        as the queue, twice as long
    fetch:tries:HOLDER    hash   digest to attempts, where not 0      as fetch:items
    fetch:suspects:HOLDER hash   digest to suspicions, where not 0    as fetch:items
    fetch:leased:HOLDER   hash   digest to lease token, where leased  as fetch:items
    fetch:holders         hash   digest to how many holders have it   the sum of the queues; lives
                                 queued                               three weeks untouched
    fetch:lease:TOKEN     string holder; a standing lease             lives ten times lease_seconds
    fetch:claim:DIGEST    string "expires token holder"               lives claim_seconds
    fetch:dead            zset   "digest holder" by time              dead_letters_max
    fetch:letters         hash   "digest holder" to                   as fetch:dead
                                 "attempts size published id reason"

A count in ``fetch:holders`` follows every change of a queue. It may be too high for a while, after
a queue expired: then a ref is said to be asked of another holder first, and is queued all the same.
It is never too low, because it outlives every queue. What a queue held is known for a week longer
than the queue itself; each `want` looks after one queue at random, and takes back what an expired
one counted.

Digests stand in the fetch queue's keys and values as ``sha256:`` and 64 hexadecimal digits.
Scripts of the fetch queue build the names of their keys from the root ``fetch:`` (their
``KEYS[1]``), because which holders and claims they touch is known only inside. One server or
primary is assumed, not a Redis Cluster.
"""

from dataclasses import dataclass
from typing import Final, Literal

from replicator.node.ports import DoorbellKind, DueKind, HoldKind
from replicator.protocol.ids import NodeId

DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS
"""How long the queue of a holder that nobody works on is kept: the node has forgotten it."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of keys under one prefix.

    Args:
        prefix: ``replicator:{node_id}:``, with its last colon.
    """

    prefix: str

    def request(self, token: str) -> str:
        """Name the stored request of a receipt."""
        return f"{self.prefix}request:{token}"

    def nonce(self, sender: NodeId, nonce: str) -> str:
        """Name a used nonce; node ids hold no colon, so two senders never share one."""
        return f"{self.prefix}nonce:{sender}:{nonce}"

    def rate(self, sender: NodeId) -> str:
        """Name the bucket of a sender's requests."""
        return f"{self.prefix}rate:{sender}"

    @property
    def quota_levels(self) -> str:
        """Name the buckets of posts and bytes of deliverers and origins."""
        return f"{self.prefix}quota:levels"

    @property
    def quota_full(self) -> str:
        """Name the index of these buckets by when they are full."""
        return f"{self.prefix}quota:full"

    def replies(self, gateway: str) -> str:
        """Name the list on which a gateway process waits for its answers."""
        return f"{self.prefix}replies:{gateway}"

    @property
    def refusals(self) -> str:
        """Name the list of refused requests."""
        return f"{self.prefix}refusals"

    @property
    def malformed(self) -> str:
        """Name the list of queue entries that were set aside."""
        return f"{self.prefix}malformed"

    @property
    def fetch(self) -> str:
        """Name the root under which the scripts of the fetch queue build their keys."""
        return f"{self.prefix}fetch:"

    @property
    def fetch_due(self) -> str:
        """Name the index of holders by their earliest item."""
        return f"{self.prefix}fetch:due"

    def doorbell(self, kind: DoorbellKind, peer: NodeId) -> str:
        """Name the flag of a doorbell that was rung and not yet heard."""
        return f"{self.prefix}doorbell:{kind}:{peer}"

    def hold(self, kind: HoldKind, peer: NodeId) -> str:
        """Name the lease of one kind of work for one peer."""
        return f"{self.prefix}hold:{kind}:{peer}"

    def breaker(self, peer: NodeId) -> str:
        """Name the breaker of a peer: how calls to it have gone."""
        return f"{self.prefix}breaker:{peer}"

    def progress(self, peer: NodeId) -> str:
        """Name the record of how far catching up with a peer has got."""
        return f"{self.prefix}progress:{peer}"

    def looks(self, kind: Literal["due", "strange", "lacking"]) -> str:
        """Name the peers whose keys are looked at, by time, or by the end of a pause."""
        return f"{self.prefix}looks:{kind}"

    @property
    def all_looks(self) -> list[str]:
        """Name all of them, the times first."""
        return [self.looks("due"), self.looks("strange"), self.looks("lacking")]

    def due(self, kind: DueKind, peer: NodeId) -> str:
        """Name the time of the next periodic work."""
        return f"{self.prefix}due:{kind}:{peer}"
