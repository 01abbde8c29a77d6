"""Every bound of the node as data, each with its reason; relations are checked when it is made.

Pure; imports nothing of the project. Units stand last in the names (`_bytes_max`, `_seconds`,
`_ms`). An operator may change any of them in the `[limits]` table of ``replicator.toml``; what
peers may rely on (`PROTOCOL_FLOOR`) cannot be lowered.
"""

from dataclasses import dataclass
from typing import Final

PROTOCOL_FLOOR: Final = {
    "message_bytes_max": 1024 * 1024,
    "post_bytes_max": 256 * 1024,
    "items_max": 500,
    "document_parts_max": 48_000,
}
"""What every node of protocol 1.0 accepts at least; larger limits are announced."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The bounds of one node.

    Raises:
        ValueError: two of them contradict each other; the message names both.
    """

    # Messages
    message_bytes_max: int = 1024 * 1024
    """One request or answer body after decompression; 500 posts of 1 kB fit with room."""
    items_max: int = 500
    """Refs, models or ids in one message: enough that one message's overhead is noise."""
    json_depth_max: int = 32
    """Nesting of a document; protocol 1.0 needs 6, an extension may need more."""
    document_parts_max: int = 64_000
    """Values of one document, counted before anything is built of them: 150,000 empty ones fit in
    a message, and reading them costs half a second. 500 posts with 64 tags each have 50,000."""
    header_bytes_max: int = 16 * 1024
    """All header fields of a request; 8 signatures and their keys need 3 kB."""
    envelope_signatures_max: int = 8
    """Keys that may sign one message: verification is the costly part of admission."""

    # Posts
    post_bytes_max: int = 256 * 1024
    """Canonical bytes of one post; longest post of a real corpus: 160 kB."""
    post_signatures_max: int = 8
    """Signatures kept with one post: its node key and the pools it belongs to."""
    post_tags_max: int = 64
    tag_chars_max: int = 128
    post_attachments_max: int = 64
    future_seconds_max: int = 86_400
    """A post dated further ahead is refused for now: clocks and time zones err by hours."""

    # Time
    window_seconds: int = 60
    """How far a signature's `created` may be from the clock at receipt."""
    answer_seconds: float = 15.0
    """How long a gateway holds a request open before it answers `busy`."""
    peer_call_seconds: float = 20.0
    """Total deadline of one call to a peer, connecting included."""
    quick_call_seconds: float = 5.0
    """The same for a peer that is not known to be slow; after it, it is, and has the whole time."""
    connect_seconds: float = 3.0
    lease_seconds: int = 30
    """A lane's or fetch batch's lease; longer than any one call to a peer."""
    claim_seconds: int = 30
    """How long one holder may keep others from fetching the same digest."""
    slice_seconds: float = 8.0
    """How long one task works for one peer before it lets others in."""
    work_body_seconds: int = 16
    """How long a request body waits in Redis for its worker: as long as its gateway waits for the
    reply, and a second. Later nobody hears the answer, and working it out would delay others'."""
    doorbell_seconds: int = 30
    """After this long an unanswered doorbell may be rung again (its message was lost)."""
    visibility_seconds: int = 30
    """How long a broker message of a dead worker stays hidden before another worker gets it."""
    deaf_seconds: float = 20.0
    """A worker with free hands that hears nothing for this long while messages wait is deaf."""

    # Pages and batches
    inline_post_bytes_max: int = 64 * 1024
    """A larger post is announced by its ref: the peer may have it already."""
    batch_bytes_max: int = 512 * 1024
    """Canonical bytes in one put or get answer; leaves room for signatures and refs."""
    scan_rows_max: int = 20_000
    """Change-log entries one pull page may look at before it answers with `more`."""
    answers_in_flight_max: int = 1_000
    """Complete requests one gateway holds open; more are answered `busy`."""
    in_flight_bytes_max: int = 64 * 1024 * 1024
    """Request bodies that one gateway holds in memory or in Redis, with the pipelined requests and
    the unread answers that its connections for peers keep."""

    # Gateway
    connections_max: int = 2_000
    """Open connections per listener: all requests in flight, and as many idle ones."""
    address_share: float = 0.25
    """Of connections, open requests, arriving ones and bytes in flight, what one address may have:
    no single one shuts out the others. None holds for a proxy on this machine; set 1 for another
    proxy, so that all peers behind it together may have everything."""
    pipelined_requests_max: int = 512
    """Requests that wait on one connection for the answer to an earlier one; with more it ends. One
    read of 256 kB brings 290 small signed ones, but 10,000 of the shortest, with 3 kB each here."""
    unread_seconds: float = 10.0
    """Until a client that has an answer to take has taken some of it, or the connection ends."""
    unread_bytes_per_second: int = 4_096
    """What a client takes at least while it is slow: 1 MiB within about four minutes."""
    header_seconds: float = 5.0
    """Until the header of a request is complete; nobody may hold a connection with less."""
    body_seconds: float = 10.0
    """Until the body of a request is complete: 1 MiB in time asks for 100 kB/s."""
    keep_alive_seconds: int = 30
    """How long an idle connection is kept: longer than the pause between two batches."""
    address_requests_per_second: float = 1_000.0
    """Requests of one address (IPv6: one /64) on average; a worker answers a few hundred."""
    address_burst_requests_max: int = 3_000
    """Requests one address may make at once after a quiet time."""
    addresses_max: int = 10_000
    """Addresses whose rate is remembered; the longest unseen is forgotten first."""
    peer_requests_per_second: float = 100.0
    """Requests of one node on average: catching up asks 25 times a second, a post at a time 100."""
    peer_burst_requests_max: int = 300
    """Requests one node may make at once after a quiet time: three seconds of the fastest."""
    quota_buckets_max: int = 20_000
    """Nodes whose quotas are being used up; a bucket has 150 bytes in Redis."""
    peer_open_requests_max: int = 8
    """Requests of one node that one gateway has under way: a peer that is well has one of each
    kind (lane, fetch, pull, repair, roster). What one member sends may take a worker half a second
    each; so many of them delay others by seconds, and no more."""
    gateway_threads: int = 8
    """Threads that check envelopes and ask Redis; two cores are busy with four."""
    local_body_bytes_max: int = 4 * 1024 * 1024
    """One body of the local API: a post at its limit with every character escaped fits twice."""
    local_requests_max: int = 200
    """Requests of the board application that are open at once, long polls included."""
    local_wait_seconds: float = 55.0
    """Longest long poll: below the 60 s after which common proxies give up."""

    # Retry
    retry_base_seconds: float = 1.0
    retry_cap_seconds: float = 300.0
    """Longest pause between two tries: a peer that returns is noticed within minutes."""
    malformed_base_seconds: float = 10.0
    """First pause for a peer that answers with something else than the protocol."""
    refused_base_seconds: float = 30.0
    """First pause for a peer that refuses: its operator, or ours, has to change something."""
    misfit_cap_seconds: float = 3_600.0
    """Longest pause for a peer that refuses, or answers with something else."""
    unsupported_seconds: float = 86_400.0
    """How long a peer is not asked again for what it does not support."""
    ramp_items_min: int = 16
    """Items of the first batch to a peer that recovered; each success doubles them."""
    wake_seconds: float = 30.0
    """A restarted node wakes its lanes over this time, so that restarts do not herd."""
    slow_call_seconds: float = 2.0
    """A peer whose last call took longer is slow; healthy ones answer in milliseconds."""
    slow_slots_max: int = 2
    """Calls to slow peers at a time, of all workers together: they never hold all threads."""
    maintenance_calls_per_second: float = 2.0
    """Pulls and repairs that one node starts on average: with more peers, each has longer turns."""
    fetch_attempts_max: int = 12
    """Tries of one item with one holder before it is a dead letter (about half an hour)."""
    crash_attempts_max: int = 5
    """Leases that an item may outlive before it is a dead letter: it kills its worker."""
    suspects_max: int = 32
    """Items leased together once one of them outlived a lease; after a second one, each alone."""
    fetch_queue_items_max: int = 100_000
    """Items queued for one holder; more are left to repair."""
    dead_letters_max: int = 10_000
    refusal_records_max: int = 1_000
    """Refused requests kept for the operator to look at."""
    record_chars_max: int = 500
    """Of a reason or message kept in Redis: it may quote what a stranger sent."""

    # Queue entries (whoever may write to the broker writes them)
    task_bytes_max: int = 16 * 1024
    """One task message as it stands in a queue: ours have about 1 kB."""
    control_bytes_max: int = 1024 * 1024
    """Any other message of the broker: what Flower is told of a worker, events in a batch."""
    malformed_entries_max: int = 200
    """Queue entries set aside and kept for the operator: the newest (1 MiB at worst)."""
    malformed_bytes_max: int = 4096
    """Of each of them: enough to see what it was meant to be."""

    # Repair and upkeep
    tick_seconds: float = 1.0
    """How often the reconciler looks for due work."""
    pull_seconds: float = 15.0
    """How often a node looks for what it lacks at each pool-mate (jittered by a third)."""
    sweep_seconds: float = 86_400.0
    """How often dead letters are tried again, and the whole log of a peer that cannot compare sets
    is read again: a million posts are 2,000 short pages."""
    reconcile_seconds: float = 300.0
    """How often this node compares its set with a pool-mate's (jittered by a third)."""
    reconcile_share: float = 0.05
    """Of a lane's time that comparing may take: after a long run follows a long pause."""
    reconcile_bytes_per_second: int = 100_000
    """On average, over the pause that follows a run."""
    reconcile_frame_bytes_max: int = 256 * 1024
    """One Negentropy message; in base64url it fits a message of the protocol twice."""
    reconcile_rounds_max: int = 40
    """Questions of one run; equal sets need one, a hundred differences about four."""
    reconcile_items_max: int = 20_000
    """Differences that one run collects per direction; the next run finds the rest."""
    summary_items_max: int = 128
    """Items under one entry of the set's summary: a million need 8,000 to 16,000 entries. An entry
    that a range cuts is read: with 512 a hundred differences cost twice the rows."""
    decided_items_max: int = 1_000_000
    """Digests remembered of posts not held (expired, lost): beyond, the node's floor rises, as far
    as the oldest post that is held, and what is still too much is forgotten."""
    expire_items_max: int = 2_000
    """Posts removed in one transaction, so that writers do not wait for long."""
    floor_step_seconds: int = 3_600
    """The floor moves in steps: two nodes with the same rule mostly have the same one."""
    disk_reserve_bytes: int = 64 * 1024 * 1024
    """Kept free on the disk of an SQLite database for all but posts: the log must go on."""
    roster_seconds: float = 600.0
    """How often a pool-mate is asked whom it knows (jittered by a third)."""
    roster_asks_max: int = 20
    """Pool-mates asked within that time; of more, each is asked less often: all know the same."""
    roster_entries_max: int = 2_000
    """Members whose introductions are kept; of more, the longest unheard go first."""
    roster_kept_seconds: float = 2_592_000.0
    """An introduction not renewed for a month is forgotten: the node is gone."""
    roster_renewal_seconds: float = 86_400.0
    """One that repeats what is known is written down again after a day, not each time."""
    introduction_bytes_max: int = 16 * 1024
    """One introduction in a roster; one with 8 keys has 3 kB."""
    peers_max: int = 5_000
    """Peers that come by themselves (first contact, roster); an operator may add more."""
    gaps_per_peer_max: int = 100_000
    """Refs of one peer that could not be had yet; of more the oldest are left to repair."""
    node_keys_max: int = 16
    """Keys in one announcement of a node: a rotation each month, a year's old ones remembered."""
    pins_per_node_max: int = 64
    """Keys remembered of one node: of more, the retired ones go first, the oldest before others."""
    key_overlap_seconds_max: float = 31_622_400.0
    """The longest overlap of two node keys: with more than a year nobody would rotate in earnest.
    A reader allows a day more, for clocks."""
    key_look_seconds: float = 60.0
    """The pause between two looks at the keys of one peer (jittered by a third): whoever sends
    envelopes in its name has us ask it that often, and not more."""
    key_lacking_seconds: float = 3_600.0
    """The same for a peer that signs with fewer keys than are pinned, and says nothing of it."""
    quarantine_posts_per_peer_max: int = 1_000
    """Posts of unknown origin kept of one deliverer; more are refused until some go."""
    quarantine_bytes_per_peer_max: int = 16 * 1024 * 1024
    quarantine_posts_max: int = 20_000
    """Of all deliverers together: pool members can be invented by whoever holds the key."""
    quarantine_bytes_max: int = 256 * 1024 * 1024
    quarantine_seconds: float = 2_592_000.0
    """A post whose origin stayed unknown for a month is forgotten; its holders still have it."""
    backfills_per_peer_max: int = 16
    """Backfills of one peer; of more, one through its whole log takes the place of all but the
    oldest."""
    blocks_max: int = 100_000
    """Blocked ids, digests and nodes: what operators share as lists has some ten thousands."""
    contents_per_id_max: int = 16
    """Contents of one id that are remembered as decided against, the smallest digests: whoever
    touches an id reads all of them, and anybody with a pool's key can make any number."""
    equivocators_max: int = 10_000
    """Origins flagged; of more, the ones seen longest ago go first."""
    equivocations_max: int = 200
    """Proofs kept that an origin signed two posts under one id: the newest (100 MiB at worst)."""
    equivocations_per_origin_max: int = 10
    """Of one origin, so that one that does it all day does not push out the proofs of others."""
    block_reason_chars_max: int = 200
    """What the operator writes to a block: a line, not a file."""
    pages_ahead: int = 1
    """Pages of a pull that are fetched while one is being stored."""

    @property
    def nonce_seconds(self) -> int:
        """How long a used nonce is remembered: both ends of the window, and 10 s for clocks."""
        return 2 * self.window_seconds + 10

    def __post_init__(self) -> None:
        for name, floor in PROTOCOL_FLOOR.items():
            if getattr(self, name) < floor:
                raise ValueError(f"{name} may not be below {floor}, which every node accepts")
        for relation, holds in self._relations().items():
            if not holds:
                raise ValueError(f"limits contradict each other: {relation} does not hold")

    def _relations(self) -> dict[str, bool]:
        """Return what must hold between limits, each relation with whether it does."""
        return {
            "connect < peer_call": self.connect_seconds < self.peer_call_seconds,
            "peer_call < lease": self.peer_call_seconds < self.lease_seconds,
            "slice < lease": self.slice_seconds < self.lease_seconds,
            "visibility >= 3 (it is renewed each third)": self.visibility_seconds >= 3,
            "answer < peer_call": self.answer_seconds < self.peer_call_seconds,
            "answer < work_body": self.answer_seconds < self.work_body_seconds,
            "post_bytes <= batch_bytes": self.post_bytes_max <= self.batch_bytes_max,
            "post_bytes <= local_body_bytes": self.post_bytes_max <= self.local_body_bytes_max,
            "inline_post_bytes <= post_bytes": self.inline_post_bytes_max <= self.post_bytes_max,
            "batch_bytes <= 3/4 message_bytes": (
                self.batch_bytes_max <= self.message_bytes_max * 3 // 4
            ),
            "answers_in_flight <= connections": self.answers_in_flight_max <= self.connections_max,
            "message_bytes <= in_flight_bytes": self.message_bytes_max <= self.in_flight_bytes_max,
            "0 < address_share <= 1": 0 < self.address_share <= 1,
            "message_bytes <= address_share of in_flight_bytes": (
                self.message_bytes_max <= self.address_share * self.in_flight_bytes_max
            ),
            "pipelined_requests >= 1": self.pipelined_requests_max >= 1,
            "unread_seconds > 0": self.unread_seconds > 0,
            "sweep <= 5 days (its turn is kept for a week)": self.sweep_seconds <= 432_000,
            "retry_base <= retry_cap": self.retry_base_seconds <= self.retry_cap_seconds,
            "refused_base, malformed_base <= misfit_cap": (
                max(self.refused_base_seconds, self.malformed_base_seconds)
                <= self.misfit_cap_seconds
            ),
            "0 < reconcile_share <= 1": 0 < self.reconcile_share <= 1,
            "reconcile_bytes_per_second > 0": self.reconcile_bytes_per_second > 0,
            "reconcile_frame_bytes <= 262,144 (what every node accepts)": (
                self.reconcile_frame_bytes_max <= 262_144
            ),
            "reconcile_frame_bytes >= 4,096 (the reference's own bound)": (
                self.reconcile_frame_bytes_max >= 4_096
            ),
            "2 roster_renewal <= roster_kept": (
                2 * self.roster_renewal_seconds <= self.roster_kept_seconds
            ),
            "items * (post_tags + 32) <= document_parts": (
                self.items_max * (self.post_tags_max + 32) <= self.document_parts_max
            ),
            "summary_items >= 16": self.summary_items_max >= 16,
            "node_keys <= pins_per_node": self.node_keys_max <= self.pins_per_node_max,
            "backfills_per_peer >= 2 (one goes on, one looks for the rest)": (
                self.backfills_per_peer_max >= 2
            ),
            "0 < key_look <= key_lacking": 0 < self.key_look_seconds <= self.key_lacking_seconds,
        }
