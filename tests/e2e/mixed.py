"""An app with an ordinary Faust agent beside the chunked ones."""

from agents import ingest
from streams.application import application

app = application(ingest.agents)
plain = app.topic("plain", value_type=bytes, value_serializer="raw")
echo = app.topic("echo", value_serializer="raw")


@app.agent(plain)
async def repeat(values):  # type: ignore[no-untyped-def]
    async for value in values:
        await echo.send(value=value)
