"""The demo's posts are the same for the same seed, and threads stay together."""

import json

from replicator.cli.demo_play import CHUNK, CHUNK_BYTES_MAX, _chunks, _interleaved, _split
from replicator.cli.demo_posts import generate, split
from replicator.node.publish import read_draft
from replicator.protocol.ids import NodeId


def test_the_same_seed_gives_the_same_posts_and_another_one_others():
    assert list(generate("a", 200)) == list(generate("a", 200))
    ids = {json.loads(post)["id"] for seed in ("a", "b") for post in generate(seed, 200)}
    assert len(ids) == 400


def test_generated_posts_are_publishable_and_about_a_kilobyte_long():
    posts = [json.loads(post) for post in generate("a", 300)]
    assert all(not read_draft(NodeId("node.example"), post).notices for post in posts)
    assert 600 < sum(len(json.dumps(post)) for post in posts) / 300 < 1600
    roots = {post["id"] for post in posts}
    assert 30 < sum(post["thread"] is None for post in posts) < 200
    assert all(post["thread"] in roots for post in posts if post["thread"])


def test_a_file_is_split_by_thread(tmp_path):
    posts = list(generate("a", 300))
    file = tmp_path / "posts.jsonl"
    file.write_text("".join(post.decode() + "\n" for post in posts))
    shares = [[json.loads(post) for post in share] for share in split(str(file), 3)]
    assert sum(map(len, shares)) == 300
    assert all(shares)
    for share in shares:
        ids = {post["id"] for post in share}
        assert all(post["thread"] in ids for post in share if post["thread"])


def test_chunks_are_bounded_and_leave_nothing_out():
    drafts = [b"%05d" % place * 1800 for place in range(250)]
    chunks = list(_chunks(drafts))
    assert [draft for chunk in chunks for draft in chunk] == drafts
    assert max(map(len, chunks)) <= CHUNK
    assert max(9_000 * len(chunk) for chunk in chunks) <= CHUNK_BYTES_MAX


def test_a_post_larger_than_a_chunk_travels_alone():
    drafts = [b"x" * 2 * CHUNK_BYTES_MAX, b"y"]
    assert [len(chunk) for chunk in _chunks(drafts)] == [1, 1]


def test_the_victim_publishes_its_last_posts_before_the_others_do():
    shares = [[b"%d-%d" % (node, place) for place in range(1000)] for node in range(3)]
    order = [index for index, _ in _interleaved(shares)]
    assert order[-3:] == [2, 1, 0]


def test_enough_posts_come_before_and_after_the_kill():
    for size in (1300, 1400, 4500):
        first, later = _split([[b"{}"] * size, [b"{}"] * size, [b"{}"] * 1000])
        assert [len(share) >= 1000 for share in first] == [True] * 3
        assert sum(map(len, later)) >= 500
        assert sum(map(len, first)) + sum(map(len, later)) == 2 * size + 1000
