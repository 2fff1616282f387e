"""A mail server that wants STARTTLS and a login, takes one message, and prints it.

python3 smtp.py CERTIFICATE KEY: prints its port first.
"""

import base64
import socket
import ssl
import sys

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server = socket.create_server(("127.0.0.1", 0))
server.settimeout(60)
print(server.getsockname()[1], flush=True)
connection, _ = server.accept()
connection.settimeout(60)
lines = connection.makefile("rwb")
encrypted = False


def say(text):
    lines.write(text.encode() + b"\r\n")
    lines.flush()


say("220 test ESMTP")
while line := lines.readline():
    command = line.decode().strip()
    word = command.split(" ")[0].upper()
    if word == "EHLO":
        say("250-test\r\n250 AUTH PLAIN" if encrypted else "250-test\r\n250 STARTTLS")
    elif word == "STARTTLS":
        say("220 go on")
        connection = context.wrap_socket(connection, server_side=True)
        lines = connection.makefile("rwb")
        encrypted = True
    elif not encrypted:
        say("530 STARTTLS first")
    elif word == "AUTH":
        print("login", base64.b64decode(command.split(" ")[2]).decode().split("\0"), flush=True)
        say("235 welcome")
    elif word == "DATA":
        say("354 go on")
        while (line := lines.readline()) != b".\r\n":
            print(line.decode().rstrip(), flush=True)
        say("250 taken")
    elif word == "QUIT":
        say("221 bye")
        break
    else:
        say("250 fine")
