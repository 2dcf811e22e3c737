"""Carries out conformance scripts through ctypes: runner.py SCRIPT..."""

import ctypes
import re
import sys
import threading
from collections.abc import Callable
from ctypes import byref, c_size_t, c_uint8, c_uint64, c_void_p
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "examples" / "ctypes"))
import waldo_abi as abi  # noqa: E402
from waldo_abi import lib  # noqa: E402

Results = dict[str, Any]
PATIENCE_S = 30
FOR_EVER = -1
# What outputs hold before a call, so that one that is not written is noticed.
GARBAGE = 0x5A5A5A58
KINDS = {getattr(abi, name): name[5:] for name in dir(abi) if name.startswith("KIND_")}


class Wrong(Exception):
    """A step that does not answer what it must."""


def status_name(status: int) -> str:
    return str(lib.status_name(status).decode())


def unescape(text: str) -> bytes:
    """A payload, such as `a%2c` or `x*1000`."""
    unit, _, times = text.partition("*")
    plain = re.sub(rb"%(..)", lambda found: bytes.fromhex(found[1].decode()), unit.encode())
    return plain * int(times or 1)


def escape(payload: bytes) -> str:
    unsafe = re.compile(rb"[^A-Za-z0-9_.-]")
    return unsafe.sub(lambda found: b"%%%02x" % found[0][0], payload).decode()


def parse_logs(text: str) -> list[tuple[int, int, bytes]]:
    items = (item.split(":") for item in text.split(",") if item)
    return [(int(seq_no), int(prev), unescape(payload)) for seq_no, prev, payload in items]


def format_logs(logs: list[tuple[int, int, bytes]]) -> str:
    return ",".join(f"{seq_no}:{prev}:{escape(payload)}" for seq_no, prev, payload in logs)


class Arguments:
    """The arguments of a step; each must be asked for."""

    def __init__(self, words: list[str]) -> None:
        self.given = dict(word.split("=", 1) for word in words)
        self.unasked = set(self.given)

    def text(self, key: str) -> str | None:
        self.unasked.discard(key)
        return self.given.get(key)

    def bytes(self, key: str) -> bytes | None:
        text = self.text(key)
        return None if text is None else text.encode()

    def number(self, key: str, otherwise: int = 0, prefix: str = "") -> int:
        """A number, or names of constants joined by |."""
        text = self.text(key)
        if text is None:
            return otherwise
        if re.fullmatch(r"-?\d+", text):
            return int(text)
        names = [prefix + name for name in text.split("|")]
        if unknown := [name for name in names if not hasattr(abi, name)]:
            raise Wrong(f"there is no constant {unknown[0]}")
        return sum(getattr(abi, name) for name in names)


class Queue:
    """A queue, and the completions that came out of it and were not asked for yet."""

    def __init__(self) -> None:
        self.handle: int | None = None
        self.is_polled = True
        self.taken: list[Any] = []
        self.changed = threading.Condition()
        self.callback = abi.CompletionFn(self.on_completions)

    def on_completions(self, _context: int | None, completions: Any, count: int) -> None:
        with self.changed:
            copies = (abi.Completion.from_buffer_copy(completions[at]) for at in range(count))
            self.taken.extend(copies)
            self.changed.notify_all()

    def find(self, user_data: int) -> Any:
        for at, completion in enumerate(self.taken):
            if completion.user_data == user_data:
                return self.taken.pop(at)
        return None

    def take(self, user_data: int) -> Any:
        with self.changed:
            while (found := self.find(user_data)) is None:
                if not (self.poll() if self.is_polled else self.changed.wait(PATIENCE_S)):
                    raise Wrong(f"no completion has the user_data {user_data}")
        return found

    def poll(self) -> bool:
        one, count = abi.Completion(), c_size_t()
        lib.queue_wait(self.handle, byref(one), 1, 1, PATIENCE_S * 10**9, byref(count))
        self.taken.extend([one] * count.value)
        return count.value == 1


class Runner:
    """The handles of one script, and what each verb does."""

    def __init__(self) -> None:
        self.handles: dict[tuple[str, str], int | None] = {}
        self.queues: dict[str, Queue] = {}
        # Payloads and callbacks that the library may still use.
        self.kept: list[Any] = []

    def step(self, verb: str, a: Arguments) -> Results:
        """Carries out one step; answers what came back."""
        submitted = verb.removesuffix("_async")
        special: Callable[[Arguments], Results] | None = getattr(self, "do_" + verb, None)
        if special is not None:
            results = special(a)
        elif verb != submitted and submitted in self.OPERATIONS:
            queue, user_data = self.handle("queue", a), a.number("user_data")
            results = self.call(verb, *self.OPERATIONS[submitted](self, a), queue, user_data)
        elif verb in self.OPERATIONS:
            results = self.call(verb, *self.OPERATIONS[verb](self, a))
        else:
            raise Wrong(f"there is no verb {verb}")
        if a.unasked:
            raise Wrong(f"{verb} has no arguments {', '.join(sorted(a.unasked))}")
        return results

    def handle(self, kind: str, a: Arguments) -> int | None:
        name = a.text(kind) or "NULL"
        if name != "NULL" and (kind, name) not in self.handles:
            raise Wrong(f"there is no {kind} {name}")
        return self.handles.get((kind, name))

    def call(self, function: str, *inputs: Any, may_advise: bool = False) -> Results:
        """Calls a function that ends with a waldo_error, and checks what is in that."""
        error = abi.Error(GARBAGE, GARBAGE, GARBAGE, GARBAGE, (GARBAGE,) * 4, b"garbage")
        status = getattr(lib, function)(*inputs, byref(error))
        message = error.message.decode()
        if error.status != status:
            raise Wrong(f"answers {status_name(status)}, but the error says {error.status}")
        if (status == abi.OK) != (message == "") and not may_advise:
            raise Wrong(f"answers {status_name(status)} with the message '{message}'")
        if any(error.reserved):
            raise Wrong("reserved is not zero")
        numbers = {name: getattr(error, name) for name in ("os_errno", "wanted", "actual")}
        return {"status": status_name(status), "message": message, **numbers}

    def make(self, kind: str, a: Arguments, function: str, *inputs: Any) -> Results:
        """Calls a function that gives out a handle."""
        out = c_void_p(GARBAGE)
        results = self.call(function, *inputs, byref(out))
        self.give(kind, a, out, results)
        return results

    def give(self, kind: str, a: Arguments, out: c_void_p, results: Results) -> None:
        if (results["status"] == "WALDO_OK") != (out.value is not None):
            raise Wrong(f"{results['status']} with the {kind} {out.value}")
        self.handles[kind, a.text(kind) or ""] = out.value

    # What blocking and asynchronous calls have in common: their first arguments.

    def store(self, a: Arguments) -> list[Any]:
        return [self.handle("store", a)]

    def store_and_number(self, a: Arguments) -> list[Any]:
        return [self.handle("store", a), a.number("seq_no")]

    def path_and_options(self, a: Arguments) -> list[Any]:
        return [a.bytes("path"), self.handle("options", a)]

    def logs(self, a: Arguments) -> list[Any]:
        logs = parse_logs(a.text("logs") or "")
        array = (abi.Log * len(logs))()
        for at, (seq_no, prev_seq_no, payload) in enumerate(logs):
            array[at] = abi.Log(seq_no, prev_seq_no, self.address(payload), len(payload))
        return [self.handle("store", a), array, len(logs), a.number("flags", 0, "APPEND_")]

    def packed(self, a: Arguments) -> list[Any]:
        given, times = a.text("payloads"), a.number("times", 1)
        payloads = [] if given is None else [unescape(text) for text in given.split(",")] * times
        ends = (c_uint64 * len(payloads))()
        size = 0
        for at, payload in enumerate(payloads):
            size += len(payload)
            ends[at] = size
        base = self.address(b"".join(payloads))
        flags = a.number("flags", 0, "APPEND_")
        return [self.handle("store", a), base, size, ends, len(payloads), flags]

    def address(self, payload: bytes) -> int:
        kept = (c_uint8 * (len(payload) + 1)).from_buffer_copy(payload + b"\0")
        self.kept.append(kept)
        return ctypes.addressof(kept)

    def place(self, a: Arguments) -> list[Any]:
        cursor, flags = a.number("cursor", 0, "CURSOR_"), a.number("flags", 0, "QUERY_")
        return [self.handle("store", a), cursor, a.number("seq_no"), flags]

    def stream(self, a: Arguments) -> list[Any]:
        return [self.handle("stream", a)]

    OPERATIONS: dict[str, Callable[["Runner", Arguments], list[Any]]] = {
        "open": path_and_options,
        "close": store,
        "append": logs,
        "append_packed": packed,
        "sync": store,
        "trim": store_and_number,
        "truncate": store_and_number,
        "clear": store,
        "query": place,
        "stream_next": stream,
    }

    # Blocking calls with outputs or a timeout.

    def do_open(self, a: Arguments) -> Results:
        return self.make("store", a, "open", *self.path_and_options(a))

    def do_close(self, a: Arguments) -> Results:
        return self.call("close", *self.store(a), a.number("timeout_ns", FOR_EVER))

    def do_append(self, a: Arguments) -> Results:
        return self.number_from("last_seq_no", "append", *self.logs(a))

    def do_append_packed(self, a: Arguments) -> Results:
        return self.number_from("last_seq_no", "append_packed", *self.packed(a))

    def do_query(self, a: Arguments) -> Results:
        timeout_ns = a.number("timeout_ns", FOR_EVER)
        return self.make("chunk", a, "query", *self.place(a), timeout_ns)

    def do_stream_next(self, a: Arguments) -> Results:
        timeout_ns = a.number("timeout_ns", FOR_EVER)
        return self.make("chunk", a, "stream_next", *self.stream(a), timeout_ns)

    def number_from(self, key: str, function: str, *inputs: Any) -> Results:
        out = c_uint64(GARBAGE)
        return {**self.call(function, *inputs, byref(out)), key: out.value}

    # Versions, names, options.

    def do_version_number(self, _: Arguments) -> Results:
        return {"value": lib.version_number()}

    def do_version_string(self, _: Arguments) -> Results:
        return {"value": lib.version_string().decode()}

    def do_abi_version(self, _: Arguments) -> Results:
        return {"value": lib.abi_version()}

    def do_probe(self, _: Arguments) -> Results:
        features = c_uint64(GARBAGE)
        results = self.call("probe", byref(features), may_advise=True)
        return {**results, "features": features.value}

    def do_status_name(self, a: Arguments) -> Results:
        return {"value": status_name(a.number("status"))}

    def do_status_traits(self, a: Arguments) -> Results:
        return {"value": lib.status_traits(a.number("status"))}

    def do_options_new(self, a: Arguments) -> Results:
        out = c_void_p(GARBAGE)
        results = {"status": status_name(lib.options_new(byref(out)))}
        self.give("options", a, out, results)
        return results

    def do_options_free(self, a: Arguments) -> Results:
        lib.options_free(self.handle("options", a))
        return {}

    def do_options_set(self, a: Arguments) -> Results:
        key, value = a.bytes("key"), a.bytes("value")
        return self.call("options_set", self.handle("options", a), key, value)

    def do_options_set_u64(self, a: Arguments) -> Results:
        key, value = a.bytes("key"), a.number("value")
        return self.call("options_set_u64", self.handle("options", a), key, value)

    def do_options_get(self, a: Arguments) -> Results:
        text = ctypes.create_string_buffer(b"garbage", 64)
        key, size = a.bytes("key"), a.number("size", 64)
        results = self.call("options_get", self.handle("options", a), key, text, size)
        return {**results, "value": text.value.decode()}

    def do_options_key(self, a: Arguments) -> Results:
        key = lib.options_key(a.number("index"))
        return {"value": "NULL" if key is None else key.decode()}

    # Queues.

    def new_queue(self, a: Arguments, function: str, *inputs: Any, is_polled: bool) -> Results:
        queue = self.queues[a.text("queue") or ""] = Queue()
        self.kept.append(queue)
        queue.is_polled = is_polled
        inputs = (*inputs, *(() if is_polled else (queue.callback, None)))
        results = self.make("queue", a, function, *inputs)
        queue.handle = self.handle("queue", a)
        return results

    def do_queue_new(self, a: Arguments) -> Results:
        return self.new_queue(a, "queue_new", a.number("depth"), is_polled=True)

    def do_queue_new_callback(self, a: Arguments) -> Results:
        return self.new_queue(a, "queue_new_callback", a.number("depth"), is_polled=False)

    def do_queue_fd(self, a: Arguments) -> Results:
        return {"value": lib.queue_fd(self.handle("queue", a))}

    def do_queue_poll(self, a: Arguments) -> Results:
        queue, capacity = self.handle("queue", a), a.number("capacity")
        completions = (abi.Completion * capacity)()
        count = lib.queue_poll(queue, completions, capacity)
        self.keep(a, completions, count)
        return {"count": count}

    def do_queue_wait(self, a: Arguments) -> Results:
        queue, capacity, least = self.handle("queue", a), a.number("capacity"), a.number("min")
        completions, count = (abi.Completion * capacity)(), c_size_t(GARBAGE)
        timeout_ns = a.number("timeout_ns", FOR_EVER)
        status = lib.queue_wait(queue, completions, capacity, least, timeout_ns, byref(count))
        self.keep(a, completions, count.value)
        return {"status": status_name(status), "count": count.value}

    def keep(self, a: Arguments, completions: Any, count: int) -> None:
        if count > 0:
            self.queues[a.text("queue") or ""].taken.extend(completions[:count])

    def do_queue_cancel(self, a: Arguments) -> Results:
        status = lib.queue_cancel(self.handle("queue", a), a.number("user_data"))
        return {"status": status_name(status)}

    def do_queue_release(self, a: Arguments) -> Results:
        lib.queue_release(self.handle("queue", a))
        return {}

    def do_take(self, a: Arguments) -> Results:
        done = self.queues[a.text("queue") or ""].take(a.number("user_data"))
        for kind, value in ("chunk", done.chunk), ("store", done.store):
            name = a.text(kind)
            if name is None and value is not None:
                raise Wrong(f"the completion has a {kind}, which the step does not name")
            self.handles[kind, name or ""] = value
        if done.flags or any(done.reserved):
            raise Wrong("flags or reserved of the completion are not zero")
        numbers = "os_errno first_seq_no last_seq_no count wanted actual".split()
        results = {name: getattr(done, name) for name in numbers}
        return {**results, "status": status_name(done.status), "kind": KINDS[done.kind]}

    # Stores, streams, chunks.

    def do_retain(self, a: Arguments) -> Results:
        lib.retain(self.handle("store", a))
        return {}

    def do_release(self, a: Arguments) -> Results:
        lib.release(self.handle("store", a))
        return {}

    def described(self, function: str, struct: type[ctypes.Structure], a: Arguments) -> Results:
        found = struct()
        ctypes.memset(byref(found), 0x5A, ctypes.sizeof(found))
        size = a.number("size", ctypes.sizeof(found))
        results = self.call(function, self.handle("store", a), byref(found), size)
        return {**results, **{name: getattr(found, name) for name, *_ in struct._fields_}}

    def do_metadata_get(self, a: Arguments) -> Results:
        return self.described("metadata_get", abi.Metadata, a)

    def do_recovery_get(self, a: Arguments) -> Results:
        return self.described("recovery_get", abi.Recovery, a)

    def do_prev_seq_no(self, a: Arguments) -> Results:
        out = c_uint64(GARBAGE)
        status = lib.prev_seq_no(self.handle("store", a), byref(out))
        return {"status": status_name(status), "value": out.value}

    def do_durable_seq_no(self, a: Arguments) -> Results:
        out = c_uint64(GARBAGE)
        status = lib.durable_seq_no(self.handle("store", a), byref(out))
        return {"status": status_name(status), "value": out.value}

    def do_stream_new(self, a: Arguments) -> Results:
        return self.make("stream", a, "stream_new", *self.place(a))

    def do_stream_position(self, a: Arguments) -> Results:
        return {"value": lib.stream_position(self.handle("stream", a))}

    def do_stream_seek(self, a: Arguments) -> Results:
        return self.call("stream_seek", self.handle("stream", a), a.number("seq_no"))

    def do_stream_release(self, a: Arguments) -> Results:
        lib.stream_release(self.handle("stream", a))
        return {}

    def do_stream_read(self, a: Arguments) -> Results:
        stream, count = self.handle("stream", a), a.number("count")
        logs: list[tuple[int, int, bytes]] = []
        while len(logs) < count:
            chunk = c_void_p()
            results = self.call("stream_next", stream, PATIENCE_S * 10**9, byref(chunk))
            if results["status"] != "WALDO_OK":
                raise Wrong(f"stream_next answers {results['status']}")
            logs += chunk_logs(chunk.value, 0, lib.chunk_count(chunk))
            lib.chunk_release(chunk)
        # A chunk may hold more.
        return {"logs": format_logs(logs[:count])}

    def do_chunk_count(self, a: Arguments) -> Results:
        return {"value": lib.chunk_count(self.handle("chunk", a))}

    def do_chunk_logs(self, a: Arguments) -> Results:
        logs = chunk_logs(self.handle("chunk", a), a.number("first"), a.number("capacity"))
        return {"count": len(logs), "logs": format_logs(logs)}

    def do_chunk_data(self, a: Arguments) -> Results:
        size = c_size_t(GARBAGE)
        data = lib.chunk_data(self.handle("chunk", a), byref(size))
        if data is None and size.value != 0:
            raise Wrong(f"{size.value} bytes at NULL")
        return {"len": size.value, "data": escape(ctypes.string_at(data or 0, size.value))}

    def do_chunk_retain(self, a: Arguments) -> Results:
        lib.chunk_retain(self.handle("chunk", a))
        return {}

    def do_chunk_release(self, a: Arguments) -> Results:
        lib.chunk_release(self.handle("chunk", a))
        return {}


def chunk_logs(chunk: int | None, first: int, capacity: int) -> list[tuple[int, int, bytes]]:
    logs = (abi.Log * capacity)()
    count = lib.chunk_logs(chunk, first, logs, capacity)
    return [(log.seq_no, log.prev_seq_no, abi.bytes_at(log)) for log in logs[:count]]


def holds(key: str, actual: str, operator: str, wanted: str) -> bool:
    if operator == ">":
        return int(actual) > int(wanted)
    if operator == "~":
        return wanted in actual
    return actual == (format_logs(parse_logs(wanted)) if key == "logs" else wanted)


def compare(results: Results, expected: list[str]) -> None:
    if "status" in results and not (expected and "WALDO_" in expected[0]):
        raise Wrong("the step does not say which status it expects")
    for word in expected:
        if word.startswith("WALDO_"):
            word = "status=" + word
        found = re.fullmatch(r"(\w+)([=>~])(.*)", word)
        if found is None:
            raise Wrong(f"cannot be compared: {word}")
        key, operator, wanted = found.groups()
        if key not in results:
            raise Wrong(f"there is no output {key}")
        if not holds(key, str(results[key]), operator, wanted):
            raise Wrong(f"{key} is {results[key]}, not {operator}{wanted}")


def run(script: Path) -> int:
    """Carries out a script; answers how many steps it has."""
    runner = Runner()
    steps = 0
    for at, line in enumerate(script.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        call, _, expected = line.partition("=>")
        verb, *words = call.split()
        try:
            compare(runner.step(verb, Arguments(words)), expected.split())
        except Wrong as wrong:
            sys.exit(f"{script}:{at}: {line}\n    {wrong}")
        steps += 1
    return steps


def main() -> None:
    print(sum(run(Path(script)) for script in sys.argv[1:]))


if __name__ == "__main__":
    main()
