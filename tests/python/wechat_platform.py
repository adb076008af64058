"""Plays the WeChat platform towards an account's server, as wechatpy reads the platform's documents.

Whatever is signed, encrypted, written or read here, wechatpy does it (and xmltodict, which it reads XML with): it
shares no code and no misreading with this project. What each push has in it is in docs/wechat.md, "Pushes" and "Events".

One request a line on standard input, {"op": "make", ...}; for each, one answer a line on standard output. Both are
JSON. {"failed": "..."} says what was not possible. The program ends with its standard input.
"""

import http.client
import json
import secrets
import sys
import time
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

import xmltodict
from wechatpy import parse_message
from wechatpy.crypto import PrpCrypto, WeChatCrypto
from wechatpy.exceptions import InvalidSignatureException
from wechatpy.fields import IntegerField, StringField
from wechatpy.replies import deserialize_reply
from wechatpy.utils import WeChatSigner, check_signature

# The platform waits for so many seconds (docs/wechat.md, "Delivery").
ANSWER_TIMEOUT = 5
# Far above any answer of an account's server.
BODY_MAX = 1024 * 1024
# As it was seen in logs.
HEADERS = {"User-Agent": "Mozilla/4.0", "Accept": "*/*", "Content-Type": "text/xml"}


@dataclass(frozen=True)
class Account:
    """What the platform knows about an account's server; wrong in parts, where a test wants that."""

    original_id: str
    app_id: str
    token: str
    aes_key: str

    def crypto(self):
        return WeChatCrypto(self.token, self.aes_key, self.app_id)

    def signed_query(self):
        """Timestamp, nonce, and their signature, which says nothing about the body."""
        timestamp, nonce = str(int(time.time())), str(secrets.randbelow(10**10))
        signature = sign(self.token, timestamp, nonce)
        check_signature(self.token, signature, timestamp, nonce)
        return {"signature": signature, "timestamp": timestamp, "nonce": nonce}


def sign(*parts):
    signer = WeChatSigner()
    signer.add_data(*parts)
    return signer.signature


# The messages: what is in each beside its addressee, its sender and its time.


def event(name, key="", ticket=None):
    nodes = {"MsgType": "event", "Event": name, "EventKey": key}
    return nodes if ticket is None else nodes | {"Ticket": ticket}


def message(kind, **nodes):
    return {"MsgType": kind, **nodes, "MsgId": 24866000000000001 + secrets.randbelow(10**9)}


MESSAGES = {
    "scan": lambda scene, ticket: event("SCAN", scene, ticket),
    "subscribe_by_scan": lambda scene, ticket: event("subscribe", "qrscene_" + scene, ticket),
    "subscribe": lambda: event("subscribe"),
    "unsubscribe": lambda: event("unsubscribe"),
    "other_event": event,
    "text": lambda content: message("text", Content=content),
    "image": lambda: message("image", PicUrl="http://example.com/1.png", MediaId="1"),
}


def document(nodes):
    """The nodes as XML: in CDATA, as the platform writes them, or escaped where a text would end the CDATA."""
    if any("]]>" in str(value) for value in nodes.values()):
        return xmltodict.unparse({"xml": nodes}, full_document=False)
    fields = [
        (IntegerField if isinstance(value, int) else StringField)(name).to_xml(value)
        for name, value in nodes.items()
    ]
    return "<xml>" + "\n".join(fields) + "\n</xml>"


# What can be asked.


def make(account, mode, openid, kind, **about):
    """A push of a message in a mode: its query, its body, and as what wechatpy knows the message."""
    account = Account(**account)
    addressed = {
        "ToUserName": account.original_id,
        "FromUserName": openid,
        "CreateTime": int(time.time()),
    }
    nodes = addressed | MESSAGES[kind](**about)
    body, query = document(nodes), account.signed_query() | {"openid": openid}
    known_as = type(parse_message(body)).__name__
    if mode != "plain":
        sealed = account.crypto().encrypt_message(body, query["nonce"], query["timestamp"])
        sealed = xmltodict.parse(sealed)["xml"]
        query |= {"encrypt_type": "aes", "msg_signature": sealed["MsgSignature"]}
        beside = {"safe": {"ToUserName": account.original_id}, "compatible": nodes}[mode]
        body = document(beside | {"Encrypt": sealed["Encrypt"]})
    return {"query": urlencode(query), "body": body, "known_as": known_as}


def judge(account, query, body):
    """What an account's server that is made of wechatpy finds in a push: the message, or what it trips over.

    `signed` is about the query alone, `refusal` about the encrypted part.
    """
    account, query = Account(**account), dict(parse_qsl(query))
    timestamp, nonce = query["timestamp"], query["nonce"]
    try:
        check_signature(account.token, query["signature"], timestamp, nonce)
    except InvalidSignatureException:
        return {"signed": False, "known_as": None, "refusal": None}
    try:
        if "msg_signature" in query:
            body = account.crypto().decrypt_message(body, query["msg_signature"], timestamp, nonce)
        return {"signed": True, "known_as": type(parse_message(body)).__name__, "refusal": None}
    except Exception as error:  # With a wrong key it trips over anything.
        return {"signed": True, "known_as": None, "refusal": type(error).__name__}


def post(account, url, query, body):
    """Pushes, and reads the answer."""
    status, headers, answer = call("POST", f"{url}?{query}", body.encode())
    reply = read_reply(Account(**account), answer) if status == 200 else None
    return {"status": status, "content_type": headers.get("content-type"), "body": answer, "reply": reply}


def verify(account, url):
    """Asks for the echo that proves who answers at a URL."""
    echostr = str(secrets.randbelow(10**19))
    query = Account(**account).signed_query() | {"echostr": echostr}
    status, _, answer = call("GET", f"{url}?{urlencode(query)}", None)
    return {"status": status, "body": answer, "echostr": echostr}


def call(method, url, body):
    """One HTTP request, without proxies, redirects and second tries."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=ANSWER_TIMEOUT)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, HEADERS)
        response = connection.getresponse()
        answer = response.read(BODY_MAX).decode()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, answer
    finally:
        connection.close()


def read_reply(account, body):
    """A passive reply, decrypted if need be; None for the answers that show nothing."""
    if body in ("", "success"):
        return None
    envelope = xmltodict.parse(body)["xml"]
    encrypted = "Encrypt" in envelope
    if encrypted:
        signature, sent = envelope["MsgSignature"], envelope["TimeStamp"]
        body = account.crypto().decrypt_message(body, signature, sent, envelope["Nonce"])
    reply = deserialize_reply(body)
    return {
        "encrypted": encrypted,
        "sent": int(envelope["TimeStamp"]) if encrypted else None,
        "kind": reply.type,
        "to": reply.target,
        "from": reply.source,
        "created": reply.time,
        "text": reply.content,
    }


def encrypt(account, texts):
    """Encrypts and signs each text."""
    account = Account(**account)

    def sealed(text):
        query = account.signed_query()
        envelope = account.crypto().encrypt_message(text, query["nonce"], query["timestamp"])
        envelope = xmltodict.parse(envelope)["xml"]
        return {
            "timestamp": envelope["TimeStamp"],
            "nonce": envelope["Nonce"],
            "encrypted": envelope["Encrypt"],
            "signature": envelope["MsgSignature"],
        }

    return {"sealed": [sealed(text) for text in texts]}


def decrypt(account, sealed):
    """The texts, each of whose signatures must be right."""
    crypto = Account(**account).crypto()

    def text(timestamp, nonce, encrypted, signature):
        return crypto.decrypt_message({"Encrypt": encrypted}, signature, timestamp, nonce)

    return {"texts": [text(**each) for each in sealed]}


def recompute(vector):
    """All that follows from the inputs of a vector of wechat-vectors.json, under the vector's own names."""
    timestamp, nonce = vector["timestamp"], vector["nonce"]
    found = {"signature": sign(vector["token"], timestamp, nonce)}
    if "encrypt" in vector:

        class Recorded(PrpCrypto):
            def get_random_string(self):
                return vector["random16"]

        account = Account("", vector["receive_id"], vector["token"], vector["encoding_aes_key"])
        crypto, encrypted = account.crypto(), vector["encrypt"]
        found["msg_signature"] = sign(account.token, timestamp, nonce, encrypted)
        read = {"Encrypt": encrypted}, found["msg_signature"], timestamp, nonce
        found["plaintext"] = crypto.decrypt_message(*read)
        found["encrypt"] = Recorded(crypto.key).encrypt(vector["plaintext"], account.app_id).decode()
    return found


ASKED = {asked.__name__: asked for asked in (make, judge, post, verify, encrypt, decrypt, recompute)}


def main():
    for line in sys.stdin.buffer:
        try:
            request = json.loads(line)
            answer = ASKED[request.pop("op")](**request)
        except Exception as error:  # Whatever it is, the test hears of it, and can go on.
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main()
