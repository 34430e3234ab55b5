#!/usr/bin/env python3
"""Asks `tachornis serve` everything that the official Python clients of OpenAI and Anthropic can ask it.

    python3 Scripts/check-api.py --tachornis .build/release/tachornis --model models/small \
        [--embedder models/all-MiniLM-L6-v2] [--reranker models/ms-marco-MiniLM-L6-v2]

Needs the packages openai and anthropic. The model may be any decoder, also one of random weights: what is checked is the
form of answers, not their sense. With an embedder (or reranker, or a classifier given as --classifier) those are served
and asked, too. Prints a line for each check and exits with 1 if one fails.
"""

import argparse
import base64
import contextlib
import json
import struct
import subprocess
import tempfile
import time
import urllib.request

import anthropic
import openai
from pydantic import BaseModel

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<tool_call>\n{{ c.function | tojson }}\n</tool_call>{% endfor %}\n{% endfor %}"
    "{% if tools %}{{ tools | tojson }}\n{% endif %}"
    "{% if add_generation_prompt %}<|assistant|><think>{% if not enable_thinking %}\n\n</think>\n\n{% endif %}{% endif %}"
)
KEY = "a-key-of-checks"
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Bern", "Basel"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
HI = [{"role": "user", "content": "Hi"}]


class Place(BaseModel):
    name: str
    kind: str


checks = []


def check(function):
    checks.append(function)
    return function


def refused(kind, call, part, status=400):
    try:
        call()
    except kind as error:
        assert error.status_code == status, error.status_code
        assert part in str(error), error
        return error
    raise AssertionError(f"not refused: {part}")


# Chat


@check
def chat_is_answered(api, model):
    answer = api.chat.completions.create(model=model, messages=HI, max_tokens=5, temperature=0)
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 5
    assert answer.choices[0].message.content and answer.choices[0].message.role == "assistant"
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    same = api.chat.completions.create(model=model, messages=parts, max_completion_tokens=5, temperature=0)
    assert same.choices[0].message.content == answer.choices[0].message.content


@check
def chat_is_streamed(api, model):
    asked = dict(model=model, messages=HI, max_tokens=12, temperature=0, n=2)
    whole = api.chat.completions.create(**asked)
    texts, reasons, usage = ["", ""], [None, None], None
    for chunk in api.chat.completions.create(stream=True, stream_options={"include_usage": True}, **asked):
        assert chunk.object == "chat.completion.chunk"
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            reasons[choice.index] = choice.finish_reason or reasons[choice.index]
    assert texts == [choice.message.content for choice in whole.choices]
    assert reasons == ["length", "length"] and usage.completion_tokens == 24


@check
def chat_has_log_probabilities(api, model):
    asked = dict(model=model, messages=HI, max_tokens=4, logprobs=True, top_logprobs=3, temperature=0)
    whole = api.chat.completions.create(**asked).choices[0].logprobs.content
    assert len(whole) == 4 and all(len(token.top_logprobs) == 3 for token in whole)
    assert all(token.logprob == max(other.logprob for other in token.top_logprobs) for token in whole)
    streamed = []
    for chunk in api.chat.completions.create(stream=True, **asked):
        for choice in chunk.choices:
            streamed += choice.logprobs.content if choice.logprobs else []
    assert [token.logprob for token in streamed] == [token.logprob for token in whole]


@check
def tools_are_called(api, model):
    asked = dict(model=model, messages=HI, tools=[TOOL], seed=1, parallel_tool_calls=False)
    for choice in ["required", {"type": "function", "function": {"name": "weather"}}]:
        answer = api.chat.completions.create(tool_choice=choice, **asked).choices[0]
        call = answer.message.tool_calls[0]
        arguments = json.loads(call.function.arguments)
        assert answer.finish_reason == "tool_calls" and call.function.name == "weather"
        assert arguments["city"] in ("Bern", "Basel") and 1 <= arguments["days"] <= 9
        with api.chat.completions.stream(tool_choice=choice, **asked) as stream:
            names = [event.name for event in stream if event.type == "tool_calls.function.arguments.done"]
            last = stream.get_final_completion().choices[0]
        assert names == ["weather"] and json.loads(last.message.tool_calls[0].function.arguments) == arguments
    result = [*HI, answer.message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    again = api.chat.completions.create(model=model, messages=result, tools=[TOOL], max_tokens=3)
    assert again.usage.prompt_tokens > 20
    free = api.chat.completions.create(tool_choice="auto", max_tokens=3, **asked).choices[0]
    assert free.message.tool_calls is None


@check
def tools_are_limited(api, model):
    other = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "clock"}}]}
    asked = dict(model=model, messages=HI, tools=[TOOL, other], parallel_tool_calls=False)
    for seed in range(4):
        answer = api.chat.completions.create(
            tool_choice={"type": "allowed_tools", "allowed_tools": allowed}, seed=seed, **asked).choices[0]
        assert answer.message.tool_calls[0].function.name == "clock"
    free = {"type": "allowed_tools", "allowed_tools": {**allowed, "mode": "auto"}}
    for seed in range(4):
        answer = api.chat.completions.create(tool_choice=free, max_tokens=60, seed=seed, **asked).choices[0]
        assert all(call.function.name == "clock" for call in answer.message.tool_calls or [])
    tools = [{"type": "function", **tool["function"]} for tool in [TOOL, other]]
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "clock"}]}
    answer = api.responses.create(model=model, input=HI, tools=tools, tool_choice=choice, parallel_tool_calls=False)
    assert answer.output[0].name == "clock" and answer.tool_choice.type == "allowed_tools"


@check
def chat_is_held_to_schemas(api, model):
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": schema}}
    text = api.chat.completions.create(model=model, messages=HI, response_format=form).choices[0].message.content
    assert json.loads(text)["a"] in (1, 2)
    limits = {"structured_outputs": {"json": {"type": "string", "maxLength": 4}}}
    text = api.chat.completions.create(model=model, messages=HI, extra_body=limits).choices[0].message.content
    assert len(json.loads(text)) <= 4
    for extra in [{"guided_choice": ["yes", "no"]}, {"guided_regex": "yes|no"}, {"guided_grammar": 'root ::= "yes" | "no"'}]:
        text = api.chat.completions.create(model=model, messages=HI, extra_body=extra).choices[0].message.content
        assert text in ("yes", "no"), text
    named = {"type": "object", "properties": {"name": {"enum": ["Bern"]}, "kind": {"enum": ["town"]}},
             "required": ["name", "kind"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": named}}
    content = api.chat.completions.create(model=model, messages=HI, response_format=form).choices[0].message.content
    assert Place.model_validate_json(content) == Place(name="Bern", kind="town")
    text = api.chat.completions.create(
        model=model, messages=HI, response_format={"type": "json_object"}, max_tokens=30, seed=1).choices[0]
    assert text.message.content.startswith("{")


@check
def reasoning_is_told_apart(api, model):
    extra = {"chat_template_kwargs": {"enable_thinking": True}}
    answer = api.chat.completions.create(model=model, messages=HI, max_tokens=6, extra_body=extra)
    assert answer.choices[0].message.reasoning_content and not answer.choices[0].message.content
    assert answer.usage.completion_tokens_details.reasoning_tokens == 6
    texts = ""
    for chunk in api.chat.completions.create(model=model, messages=HI, max_tokens=6, extra_body=extra, stream=True):
        texts += getattr(chunk.choices[0].delta, "reasoning_content", None) or ""
    assert texts


# Completions


@check
def completions_go_on(api, model):
    asked = dict(model=model, prompt=["One", "Two"], max_tokens=6, seed=3, n=2, logprobs=2, echo=True)
    whole = api.completions.create(**asked)
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    assert whole.choices[0].text.startswith("One") and whole.choices[3].text.startswith("Two")
    texts, offsets = [""] * 4, [[] for _ in range(4)]
    for chunk in api.completions.create(stream=True, **asked):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            offsets[choice.index] += choice.logprobs.text_offset if choice.logprobs else []
    assert texts == [choice.text for choice in whole.choices]
    assert offsets == [choice.logprobs.text_offset for choice in whole.choices]
    best = api.completions.create(model=model, prompt="One", max_tokens=6, best_of=4, n=1)
    assert len(best.choices) == 1 and best.usage.completion_tokens > 6
    tokens = api.completions.create(model=model, prompt=[1, 2, 3], max_tokens=1)
    assert tokens.usage.prompt_tokens == 3
    stopped = api.completions.create(model=model, prompt="One", max_tokens=40, seed=3, stop=whole.choices[0].text[4:6])
    assert stopped.choices[0].finish_reason in ("stop", "length")


@check
def the_likeliest_are_found(api, model):
    beams = lambda **more: {"use_beam_search": True, "best_of": 4, **more}
    asked = dict(model=model, prompt="Hi", max_tokens=4, n=2)
    answer = api.completions.create(extra_body=beams(length_penalty=0.5, early_stopping=True), **asked)
    assert len(answer.choices) == 2 and answer.choices[0].text != answer.choices[1].text
    chat = api.chat.completions.create(model=model, messages=HI, max_tokens=4, n=2, extra_body=beams())
    assert len(chat.choices) == 2
    refused(openai.BadRequestError, lambda: api.completions.create(extra_body=beams(), stream=True, **asked), "stream")


@check
def mirostat_repeats_itself(api, model):
    ask = lambda **more: api.completions.create(
        model=model, prompt="Hi", max_tokens=20, seed=3, extra_body={"mirostat": 2, "mirostat_tau": 2.5, **more}).choices[0].text
    assert ask() == ask()
    refused(openai.BadRequestError, lambda: ask(mirostat=1), "mirostat")


# Responses


@check
def responses_are_made_in_the_background(api, model):
    asked = dict(model=model, input="Hi", max_output_tokens=40, temperature=0, background=True)
    response = api.responses.create(**asked)
    assert response.status == "queued" and response.background
    for _ in range(500):
        response = api.responses.retrieve(response.id)
        if response.status not in ("queued", "in_progress"):
            break
        time.sleep(0.02)
    assert response.status in ("completed", "incomplete") and response.output_text
    stream = api.responses.create(stream=True, **asked)
    events = [next(stream) for _ in range(4)]
    stream.close()
    name, last = events[0].response.id, events[-1].sequence_number
    rest = list(api.responses.retrieve(name, stream=True, starting_after=last))
    numbers = [event.sequence_number for event in events + rest]
    assert numbers == list(range(len(numbers))) and rest[-1].response.output_text == response.output_text
    long = api.responses.create(
        model=model, input="Hi", background=True, max_output_tokens=400, extra_body={"ignore_eos": True})
    assert api.responses.cancel(long.id).status in ("cancelled", "incomplete")
    assert api.responses.cancel(long.id).id == long.id


@check
def responses_are_made(api, model):
    first = api.responses.create(model=model, input="Hi", max_output_tokens=5, instructions="Be short.")
    assert first.status == "incomplete" and first.incomplete_details.reason == "max_output_tokens"
    assert first.output_text and first.usage.output_tokens == 5
    next = api.responses.create(model=model, input="More", max_output_tokens=5, previous_response_id=first.id)
    assert next.usage.input_tokens > first.usage.input_tokens - 5
    assert api.responses.retrieve(first.id).output_text == first.output_text
    assert api.responses.input_items.list(first.id).data[0].role == "user"
    api.responses.delete(first.id)
    refused(openai.APIStatusError, lambda: api.responses.retrieve(first.id), "no response", 404)


@check
def responses_are_streamed(api, model):
    text, kinds = "", []
    with api.responses.stream(model=model, input="Hi", max_output_tokens=6, temperature=0) as stream:
        for event in stream:
            kinds.append(event.type)
            if event.type == "response.output_text.delta":
                text += event.delta
    assert kinds[0] == "response.created" and kinds[-1] == "response.incomplete"
    assert text == api.responses.create(model=model, input="Hi", max_output_tokens=6, temperature=0).output_text


@check
def responses_call_tools(api, model):
    tool = {"type": "function", **TOOL["function"]}
    asked = dict(
        model=model, input=HI, tools=[tool], tool_choice="required", parallel_tool_calls=False, extra_body={"seed": 1})
    answer = api.responses.create(**asked)
    call = answer.output[0]
    assert call.type == "function_call" and json.loads(call.arguments)["city"] in ("Bern", "Basel")
    with api.responses.stream(**asked) as stream:
        done = [event for event in stream if event.type == "response.function_call_arguments.done"]
        assert stream.get_final_response().output[0].arguments == call.arguments
    assert done[0].arguments == call.arguments
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    next = api.responses.create(model=model, input=[result], previous_response_id=answer.id, max_output_tokens=3)
    assert next.usage.input_tokens > answer.usage.input_tokens - 200
    form = {"format": {"type": "json_schema", "name": "a", "strict": True, "schema": {"enum": [{"a": 1}]}}}
    assert json.loads(api.responses.create(model=model, input="Hi", text=form).output_text) == {"a": 1}
    thought = api.responses.create(model=model, input="Hi", reasoning={"effort": "low"}, max_output_tokens=3)
    assert thought.reasoning.effort == "low"


# Messages


@check
def messages_are_answered(claude, model):
    asked = dict(model=model, max_tokens=6, messages=HI, system="Be short.", extra_body={"temperature": 0})
    answer = claude.messages.create(**asked)
    assert answer.stop_reason == "max_tokens" and answer.content[0].type == "text" and answer.usage.output_tokens == 6
    count = claude.messages.count_tokens(model=model, messages=HI, system="Be short.").input_tokens
    assert count == answer.usage.input_tokens + answer.usage.cache_read_input_tokens
    with claude.messages.stream(**asked) as stream:
        assert "".join(stream.text_stream) == answer.content[0].text
        assert stream.get_final_message().usage.output_tokens == 6
    stop = answer.content[0].text[2:4]
    stopped = claude.messages.create(stop_sequences=[stop], **asked)
    assert stopped.stop_reason == "stop_sequence" and stopped.stop_sequence == stop


@check
def messages_call_tools(claude, model):
    function = TOOL["function"]
    tool = {"name": "weather", "description": "The weather.", "input_schema": function["parameters"]}
    asked = dict(model=model, max_tokens=200, messages=HI, tools=[tool], extra_body={"seed": 1})
    choice = {"type": "any", "disable_parallel_tool_use": True}
    answer = claude.messages.create(tool_choice=choice, **asked)
    assert answer.stop_reason == "tool_use" and answer.content[0].input["city"] in ("Bern", "Basel")
    with claude.messages.stream(tool_choice=choice, **asked) as stream:
        final = stream.get_final_message()
    assert final.content[0].input == answer.content[0].input and final.content[0].name == "weather"
    result = {"type": "tool_result", "tool_use_id": answer.content[0].id, "content": [{"type": "text", "text": "rain"}]}
    messages = [*HI, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    assert claude.messages.create(model=model, max_tokens=3, messages=messages, tools=[tool]).usage.output_tokens == 3
    thinking = {"type": "enabled", "budget_tokens": 1024}
    thought = claude.messages.create(model=model, max_tokens=20, messages=HI, thinking=thinking)
    assert thought.content[0].type == "thinking"


# Errors and the rest


@check
def errors_have_their_types(api, claude, model, port):
    chat = lambda **more: lambda: api.chat.completions.create(model=model, messages=HI, **more)
    refused(openai.BadRequestError, chat(temperature=-1), "temperature")
    error = refused(openai.BadRequestError, chat(extra_body={"temprature": 1}), "Unknown parameter: 'temprature'")
    assert error.param == "temprature" and error.code == "unknown_parameter" and error.type == "invalid_request_error"
    refused(openai.BadRequestError, chat(max_tokens=1 << 20), "room for")
    refused(openai.BadRequestError, chat(tool_choice="required"), "no 'tools'")
    refused(openai.BadRequestError, chat(extra_body={"guided_regex": "("}), "regular expression")
    refused(openai.BadRequestError, chat(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": 3}}}), "schema")
    refused(openai.NotFoundError, lambda: api.chat.completions.create(model="gpt-5", messages=HI), "no model", 404)
    refused(openai.NotFoundError, lambda: api.models.retrieve("gpt-5"), "no model", 404)
    stranger = openai.OpenAI(base_url=api.base_url, api_key="wrong", max_retries=0)
    refused(openai.AuthenticationError, lambda: stranger.models.list(), "key", 401)
    stranger = anthropic.Anthropic(base_url=claude.base_url, api_key="wrong", max_retries=0)
    ask = lambda client, **more: lambda: client.messages.create(model=model, max_tokens=2, messages=HI, **more)
    refused(anthropic.AuthenticationError, ask(stranger), "authentication_error", 401)
    refused(anthropic.BadRequestError, ask(claude, extra_body={"n": 2}), "Unknown parameter: 'n'")
    refused(anthropic.NotFoundError, lambda: claude.messages.create(model="claude", max_tokens=2, messages=HI), "no model", 404)


@check
def who_goes_away_is_forgotten(api, model, port):
    stream = api.chat.completions.create(
        model=model, messages=HI, max_tokens=500, stream=True, extra_body={"ignore_eos": True})
    next(iter(stream))
    stream.close()
    for _ in range(100):
        if get(port, "/load")["server_load"] == 0:
            return
        time.sleep(0.05)
    raise AssertionError("a request of nobody is still written")


@check
def hostile_grammars_are_refused(api, model):
    rule = '("a" | "b")* "a" ' + '("a" | "b") ' * 16
    many = "root ::= " + " | ".join(f"r{n}" for n in range(1000))
    many += "\n" + "\n".join(f"r{n} ::= {rule}" for n in range(1000))
    ask = lambda grammar: api.completions.create(
        model=model, prompt="Hi", max_tokens=200, extra_body={"guided_grammar": grammar})
    begin = time.time()
    refused(openai.BadRequestError, lambda: ask(many), "to compile")
    assert time.time() - begin < 20


@check
def browsers_may_ask(api, model, port):
    for path in ["/v1/responses/resp_1", "/v1/responses/resp_1/cancel", "/v1/models/m", "/v1/chat/completions", "/"]:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method="OPTIONS")
        assert urllib.request.urlopen(request).status == 204, path


@check
def models_are_listed(api, model, port):
    assert [entry.id for entry in api.models.list()] == [model] and api.models.retrieve(model).id == model
    assert get(port, "/version")["version"]


# Encoders


def embeds(api, model, port):
    texts = ["A cat sleeps.", "The stock market fell.", "A kitten naps."]
    plain = api.embeddings.create(model=model, input=texts, encoding_format="float")
    vectors = [entry.embedding for entry in plain.data]
    assert plain.usage.prompt_tokens > 6 and [entry.index for entry in plain.data] == [0, 1, 2]
    # Without a format the client asks for base64 and unpacks it.
    packed = api.embeddings.create(model=model, input=texts)
    close = lambda a, b: max(abs(x - y) for x, y in zip(a, b)) < 1e-5
    assert all(close(a.embedding, b) for a, b in zip(packed.data, vectors))
    raw = post(port, "/v1/embeddings", {"input": texts[0], "encoding_format": "base64"})["data"][0]["embedding"]
    assert close(struct.unpack(f"<{len(vectors[0])}f", base64.b64decode(raw)), vectors[0])
    short = api.embeddings.create(model=model, input=texts[0], dimensions=4, encoding_format="float").data[0].embedding
    assert len(short) == 4 and abs(sum(x * x for x in short) - 1) < 1e-4
    scores = post(port, "/v1/score", {"text_1": texts[0], "text_2": texts[1:]})["data"]
    assert len(scores) == 2
    refused(openai.BadRequestError, lambda: api.embeddings.create(model=model, input=[]), "input")
    refused(openai.BadRequestError, lambda: api.embeddings.create(model=model, input="a", dimensions=1 << 20), "dimensions")
    refused(openai.BadRequestError, lambda: api.completions.create(model=model, prompt="a"), "writes no texts")


def reranks(api, model, port):
    body = {"query": "How do cats sleep?", "documents": ["Stocks fell.", "Cats sleep curled up."], "top_n": 1}
    results = post(port, "/v1/rerank", body)["results"]
    assert len(results) == 1 and 0 <= results[0]["relevance_score"] <= 1
    assert post(port, "/v1/score", {"text_1": "a", "text_2": ["b", "c"]})["data"][1]["index"] == 1


def classifies(api, model, port):
    answer = post(port, "/classify", {"input": ["What a day!", "Oh no."]})["data"]
    assert abs(sum(answer[0]["probs"]) - 1) < 1e-4 and answer[0]["label"]


def get(port, path):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"authorization": f"Bearer {KEY}"})
    return json.load(urllib.request.urlopen(request))


def post(port, path, body):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"authorization": f"Bearer {KEY}"})
    return json.load(urllib.request.urlopen(request))


@contextlib.contextmanager
def serving(tachornis, model, *more):
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/keys.json5", "w") as keys:
            json.dump({"keys": [{"key": KEY, "name": "checks"}]}, keys)
        command = [tachornis, "serve", "--model", model, "--port", "0", "--name", "m", "--keys", f"{folder}/keys.json5", *more]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            line = process.stdout.readline()
            assert "http://" in line, line
            yield int(line.split("http://")[1].split(" ")[0].rsplit(":", 1)[1])
        finally:
            process.terminate()
            process.wait(30)


def run(checks, port):
    api = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0, timeout=120)
    claude = anthropic.Anthropic(base_url=f"http://127.0.0.1:{port}", api_key=KEY, max_retries=0, timeout=120)
    things = {"api": api, "claude": claude, "model": "m", "port": port}
    failures = 0
    for function in checks:
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        begin = time.time()
        try:
            function(**{name: things[name] for name in names})
            print(f"ok      {function.__name__} ({time.time() - begin:.1f} s)", flush=True)
        except Exception as error:
            failures += 1
            line = error.__traceback__
            while line.tb_next and line.tb_next.tb_frame.f_code.co_filename == __file__:
                line = line.tb_next
            print(f"FAILED  {function.__name__}, line {line.tb_lineno}: {type(error).__name__} {error}", flush=True)
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tachornis", default=".build/release/tachornis")
    parser.add_argument("--model")
    parser.add_argument("--embedder")
    parser.add_argument("--reranker")
    parser.add_argument("--classifier")
    parser.add_argument("--only", help="names of checks, with commas between them")
    options = parser.parse_args()
    failures = 0
    if options.model:
        wanted = [f for f in checks if not options.only or f.__name__ in options.only.split(",")]
        with tempfile.NamedTemporaryFile("w", suffix=".jinja") as template:
            template.write(TEMPLATE)
            template.flush()
            with serving(options.tachornis, options.model, "--template", template.name) as port:
                failures += run(wanted, port)
    for path, function in [(options.embedder, embeds), (options.reranker, reranks), (options.classifier, classifies)]:
        if path:
            with serving(options.tachornis, path) as port:
                failures += run([function], port)
    raise SystemExit(1 if failures else 0)


main()
