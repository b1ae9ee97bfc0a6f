"""The tools for agents, asked by MCP's own client."""

import anyio
import pytest
from mcp import Client

from gaid.server.agents import make_tools


@pytest.fixture
def call(library):
    """Calls a tool, or lists them, and returns what the client gets."""

    def run(tool=None, **arguments):
        async def ask():
            async with Client(make_tools(library)) as client:
                return await (client.list_tools() if tool is None else client.call_tool(tool, arguments))

        return anyio.run(ask)

    return run


def test_there_are_three_tools_with_descriptions(call):
    tools = {tool.name: tool for tool in call().tools}
    assert set(tools) == {"library", "search", "clip"}
    assert all(tool.description for tool in tools.values())
    assert tools["search"].input_schema["properties"]["sense"]["enum"][0] == "all"


def test_an_agent_finds_a_clip_and_its_file(call, world, client):
    assert call("library").structured_content["clips"] == 4
    found = call("search", query="a dog barks", top=2).structured_content
    by_api = client.get("/api/search", params={"q": "a dog barks", "top": 2}).json()
    assert [hit["key"] for hit in found["hits"]] == [hit["key"] for hit in by_api["hits"]]
    assert not {"thumbnails", "media", "preview"} & set(found["hits"][0])
    facts = call("clip", key=world.key("parts/old"), query="a dog").structured_content
    assert facts["path"] == str(world.folder / "parts" / "old.avi")
    assert len(facts["frames"]) == 4


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("search", {}, "give either"),
        ("search", {"query": "a", "folder": "/etc"}, "name a folder of the library"),
        ("search", {"query": "a", "top": 10_000}, "top"),
        ("clip", {"key": "../../etc/passwd"}, "no clip with this key"),
    ],
)
def test_mistakes_are_told_to_the_agent(call, tool, arguments, said):
    answer = call(tool, **arguments)
    assert answer.is_error
    assert said in answer.content[0].text
