"""Messages that are damaged, or well signed and senseless: fuzz.py SEED COUNT. The kernel must answer after all of them, and none
may reach an error inside of it. Prints what went wrong, and at the end "N messages"."""
import os
import random
import sys

import zmq
from jupyter_client.manager import KernelManager

LIMIT = 120  # seconds for an answer
KINDS = ["complete", "inspect", "is_complete", "history", "comm_info", "kernel_info", "execute", "interrupt", "nonsense"]
OTHERS = ["comm_open", "comm_msg", "input_reply", "status"]
KEYS = ["code", "cursor_pos", "detail_level", "hist_access_type", "n", "output", "start", "stop", "pattern", "unique", "silent",
        "store_history", "user_expressions", "allow_stdin", "stop_on_error", "comm_id", "value", "metadata"]
VALUES = [None, True, False, 0, -1, 5, 1.5, 1e308, 2**53, "", "x", "\0", "é🩸", "tail", "range", "search", [], [1], {}]
CODES = ["", "x", "\0", "é🩸", "nn.Conv2D{", "local x =", "?", "??nn", ":he", ":", "::a::", '"', "[[", "--[[", "string.for" * 50, "{" * 300,
         "f(" * 300, "a.b:c", "for i = 1, 2 do end", "error{}", "1, nil, 'x'", "return", "goto a", "local a <close> = 5", "'\\xff'"]


def value(depth=0):
    if random.random() < 0.7 or depth > 3:
        return random.choice(VALUES)
    if random.random() < 0.5:
        return [value(depth + 1) for _ in range(random.randrange(4))]
    return {random.choice(KEYS): value(depth + 1) for _ in range(random.randrange(4))}


def damaged(data):
    data = bytearray(data)
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(data) + 1)
        choice = random.random()
        if choice < 0.4:
            data[at:at + 1] = bytes([random.randrange(256)])
        elif choice < 0.7:
            del data[at:at + random.randrange(1, 9)]
        else:
            data[at:at] = os.urandom(random.randrange(1, 6))
    return bytes(data)


def message(session):
    """The frames of one, and its type."""
    kind = random.choice([k + "_request" for k in KINDS] + OTHERS)
    content = {random.choice(KEYS): value() for _ in range(random.randrange(6))}
    if random.random() < 0.7:
        content["code"] = random.choice(CODES)
    if kind == "execute_request":
        content["allow_stdin"] = False  # nobody would answer
    frames = session.serialize(session.msg(kind, content))
    choice = random.random()
    if choice < 0.3:  # damaged JSON, well signed
        parts = frames[2:]
        at = random.randrange(4)
        parts[at] = damaged(parts[at])
        frames = [frames[0], session.sign(parts)] + parts
    elif choice < 0.5:
        at = random.randrange(len(frames))
        frames[at] = damaged(frames[at])
    elif choice < 0.55:
        random.shuffle(frames)
    elif choice < 0.6:
        frames = frames[:random.randrange(1, 6)]
    return frames, kind


def drain(socket):
    """Reads what is there, and says what it tells of errors inside the kernel."""
    while socket.poll(0):
        frames = socket.recv_multipart()
        if any(b"KernelError" in frame for frame in frames):
            print(frames[-1].decode()[:2000], flush=True)


def main(seed, count):
    random.seed(seed)
    manager = KernelManager(kernel_name="giemsa")
    manager.start_kernel()
    client = manager.client()
    client.start_channels(iopub=False, hb=False)  # what is echoed there of damaged dates trips Jupyter itself
    sockets = {}
    for name in ("shell", "control", "stdin"):
        sockets[name] = zmq.Context.instance().socket(zmq.DEALER)
        sockets[name].connect(f"tcp://{manager.ip}:{getattr(manager, name + '_port')}")
    for i in range(1, count + 1):
        frames, kind = message(client.session)
        place = "shell" if kind == "execute_request" else random.choice(list(sockets))
        sockets[place].send_multipart(frames)
        if i % 100 and i < count:
            continue
        for socket in sockets.values():
            drain(socket)
        client.execute("1 + 1", allow_stdin=False, stop_on_error=False)
        client.get_shell_msg(timeout=LIMIT)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    print(count, "messages", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
