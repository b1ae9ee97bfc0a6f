"""The API's contract: addresses, answers, and what they hold."""

import pytest

HIT = {
    "key", "place", "video", "score", "sound", "audio", "duration", "start", "end", "senses", "carried", "moment", "thumbnails",
    "media", "preview",
}  # fmt: skip


def test_the_library_says_what_can_be_asked(client):
    facts = client.get("/api/library").json()
    assert facts["clips"] == 4
    assert facts["senses"] == ["all", "picture", "sound"]
    assert facts["folders"] == ["parts"]


def test_a_search_lists_the_clips_with_their_addresses(client, world):
    answer = client.get("/api/search", params={"q": "a dog barks", "top": 3}).json()
    assert answer["query"] == "a dog barks"
    assert [hit["place"] for hit in answer["hits"]] == [1, 2, 3]
    for hit in answer["hits"]:
        assert set(hit) >= HIT
        assert hit["key"] == world.key(hit["video"])
        assert hit["media"] == f"/api/clips/{hit['key']}/media"
        assert all(one.startswith(f"/api/clips/{hit['key']}/thumbnail?at=") for one in hit["thumbnails"])


def test_an_answer_holds_no_path(client, world):
    assert str(world.folder) not in client.get("/api/search", params={"q": "a dog"}).text


def test_filters_leave_clips_out(client):
    def found(**filters):
        answer = client.get("/api/search", params={"q": "a dog", **filters}).json()
        assert answer["clips"] == len(answer["hits"])
        return {hit["video"] for hit in answer["hits"]}

    assert found(folder="parts") == {"parts/web", "parts/old"}
    assert found(longer=1.5) == {"plain"}
    assert found(shorter=1.5, folder="parts") == {"parts/web", "parts/old"}
    assert found(until="2001-01-01") == set()


@pytest.mark.parametrize("folder", ["/etc", "~", "\\\\host", "nowhere"])
def test_a_folder_is_one_of_the_library(client, world, folder):
    answer = client.get("/api/search", params={"q": "a dog", "folder": folder})
    assert answer.status_code in (400, 404)
    assert str(world.store) not in answer.text


def test_an_offset_resumes_the_list(client):
    whole, rest = (
        client.get("/api/search", params={"q": "a dog", "offset": offset}).json()["hits"] for offset in (0, 2)
    )
    assert rest == whole[2:]


def test_a_clip_is_most_like_itself(client, world):
    hits = client.get("/api/search", params={"like": world.key("plain")}).json()["hits"]
    assert hits[0]["video"] == "plain"


@pytest.mark.parametrize("params", [{}, {"q": " "}, {"q": "a", "like": "b"}, {"q": "-music"}])
def test_a_search_for_nothing_is_refused_with_a_reason(client, params):
    answer = client.get("/api/search", params=params)
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"kind", "message"}


def test_the_page_fetches_nothing_from_elsewhere(client):
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'; script-src 'self'" in page.headers["content-security-policy"]
