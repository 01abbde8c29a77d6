"""JSON documents that are none, or that two readers could read differently."""

from tests.support.hostile.arena import Case, case, of_kind

MALFORMED = (400, "malformed")
SUCCESS = (200, "success")
MISMATCH = (409, "version-mismatch")
UNKNOWN = (501, "not supported")
HEAD = '"type":"pull","protocol":"1.0","model":{"name":"post","version":"1.0"}'
PULL = f"{{{HEAD}}}"


def _more(text: str) -> str:
    """Return a pull with one more member."""
    return f"{{{HEAD},{text}}}"


def _head(**members: str) -> str:
    """Return a pull with members of its head written otherwise; an empty text leaves one out."""
    plain = {"type": '"pull"', "protocol": '"1.0"', "model": '{"name":"post","version":"1.0"}'}
    written = {name: value for name, value in {**plain, **members}.items() if value}
    return "{" + ",".join(f'"{name}":{value}' for name, value in written.items()) + "}"


_TEXTS: dict[str, tuple[str | bytes, tuple[int, str]]] = {
    "an empty body": (b"", MALFORMED),
    "white space only": (" \n\t", MALFORMED),
    "null": ("null", MALFORMED),
    "true": ("true", MALFORMED),
    "a number": ("1", MALFORMED),
    "a string": ('"pull"', MALFORMED),
    "a list": (f"[{PULL}]", MALFORMED),
    "an empty object": ("{}", MALFORMED),
    "something after it": (PULL + "x", MALFORMED),
    "two documents": (PULL + PULL, MALFORMED),
    "two documents on lines": (PULL + "\n" + PULL, MALFORMED),
    "a comma after the last member": (PULL[:-1] + ",}", MALFORMED),
    "a NUL after it": (PULL + "\0", MALFORMED),
    "a byte order mark": ("\ufeff" + PULL, MALFORMED),
    "UTF-16 with a mark": (PULL.encode("utf-16"), MALFORMED),
    "UTF-16LE": (PULL.encode("utf-16-le"), MALFORMED),
    "UTF-16BE": (PULL.encode("utf-16-be"), MALFORMED),
    "UTF-32": (PULL.encode("utf-32"), MALFORMED),
    "UTF-7 of a member": (_more('"x":"+AGE-"'), SUCCESS),
    "Latin-1": (_more('"x":"é"').encode("latin-1"), MALFORMED),
    "UTF-8 longer than needed": (_more('"x":"?"').encode().replace(b"?", b"\xc0\x80"), MALFORMED),
    "a surrogate in UTF-8": (_more('"x":"?"').encode().replace(b"?", b"\xed\xa0\x80"), MALFORMED),
    "beyond Unicode": (_more('"x":"?"').encode().replace(b"?", b"\xf4\x90\x80\x80"), MALFORMED),
    "a lone high surrogate": (_more(r'"x":"\ud800"'), MALFORMED),
    "a lone low surrogate": (_more(r'"x":"\udc00"'), MALFORMED),
    "surrogates the wrong way round": (_more(r'"x":"\udc00\ud800"'), MALFORMED),
    "a lone surrogate as a name": (_more(r'"\ud800":1'), MALFORMED),
    "an escaped NUL": (_more(r'"x":"\u0000"'), MALFORMED),
    "an escaped NUL in a name": (_more(r'"x\u0000":1'), MALFORMED),
    "an escaped U+000D": (_more(r'"x":"\r"'), MALFORMED),
    "an escaped U+FFFE": (_more(r'"x":"\ufffe"'), MALFORMED),
    "an escaped U+001B": (_more(r'"x":"\u001b[31m"'), MALFORMED),
    "a raw line end in a string": (_more('"x":"\n"'), MALFORMED),
    "a raw NUL in a string": (_more('"x":"\0"'), MALFORMED),
    "an unknown escape": (_more(r'"x":"\x41"'), MALFORMED),
    "an escape cut off": (_more(r'"x":"\u00"'), MALFORMED),
    "32 levels": (_more('"x":' + "[" * 31 + "]" * 31), SUCCESS),
    "33 levels": (_more('"x":' + "[" * 32 + "]" * 32), MALFORMED),
    "33 levels of objects": (_more('"x":' + '{"a":' * 32 + "1" + "}" * 32), MALFORMED),
    "500,000 levels": (_more('"x":' + "[" * 500_000 + "]" * 500_000), MALFORMED),
    "a million opened lists": ("[" * 1_000_000, MALFORMED),
    "200,000 opened objects": ('{"a":' * 200_000, MALFORMED),
    "single quotes": (PULL.replace('"', "'"), MALFORMED),
    "names without quotes": (PULL.replace('"type"', "type"), MALFORMED),
    "a comment of C": (PULL[:-1] + "/* */}", MALFORMED),
    "a comment of C++": (PULL[:-1] + "//\n}", MALFORMED),
    "a comment of Python": (PULL + "#", MALFORMED),
    "a vertical tab between": (PULL.replace(",", ",\v", 1), MALFORMED),
    "a no-break space between": (PULL.replace(",", ",\u00a0", 1), MALFORMED),
    "NaN": (_more('"x":NaN'), MALFORMED),
    "Infinity": (_more('"x":Infinity'), MALFORMED),
    "-Infinity": (_more('"x":-Infinity'), MALFORMED),
    "1e400": (_more('"x":1e400'), MALFORMED),
    "1e2": (_more('"limit":1e2'), MALFORMED),
    "1.0": (_more('"limit":1.0'), MALFORMED),
    "0.1 in an unknown member": (_more('"x":0.1'), MALFORMED),
    "-0": (_more('"x":-0'), MALFORMED),
    "-1": (_more('"limit":-1'), MALFORMED),
    "+1": (_more('"limit":+1'), MALFORMED),
    "01": (_more('"limit":01'), MALFORMED),
    "0x10": (_more('"limit":0x10'), MALFORMED),
    "1_000": (_more('"limit":1_000'), MALFORMED),
    ".5": (_more('"x":.5'), MALFORMED),
    "1.": (_more('"x":1.'), MALFORMED),
    "digits of another script": (_more('"limit":\u0661'), MALFORMED),
    "2^53": (_more('"x":9007199254740992'), MALFORMED),
    "2^53-1": (_more('"x":9007199254740991'), SUCCESS),
    "2^64": (_more('"limit":18446744073709551616'), MALFORMED),
    "a number of 900,000 digits": (_more('"x":' + "9" * 900_000), MALFORMED),
    "a number as text": (_more('"limit":"1"'), MALFORMED),
    "a boolean for a number": (_more('"limit":true'), MALFORMED),
    "type twice": (_more('"type":"pull"'), MALFORMED),
    "type twice, once escaped": (_more(r'"\u0074ype":"put"'), MALFORMED),
    "a member twice in the model": (_head(model='{"name":"post","name":"post"}'), MALFORMED),
    "an unknown member twice": (_more('"x":1,"x":1'), MALFORMED),
    "a member twice, deep in an unknown one": (_more('"x":[{"a":{"b":1,"b":2}}]'), MALFORMED),
    "null twice": (_more('"x":null,"x":null'), MALFORMED),
    "no type": (_head(type=""), MALFORMED),
    "no protocol": (_head(protocol=""), MALFORMED),
    "no model": (_head(model=""), MALFORMED),
    "type null": (_head(type="null"), MALFORMED),
    "type a number": (_head(type="1"), MALFORMED),
    "type a list": (_head(type='["pull"]'), MALFORMED),
    "protocol a number": (_head(protocol="1"), MALFORMED),
    "protocol 1.1": (_head(protocol='"1.1"'), MISMATCH),
    "protocol empty": (_head(protocol='""'), MISMATCH),
    "protocol with a space": (_head(protocol='"1.0 "'), MISMATCH),
    "protocol in full-width digits": (_head(protocol='"\uff11.\uff10"'), MISMATCH),
    "protocol of 500,000 characters": (_head(protocol='"' + "1" * 500_000 + '"'), MISMATCH),
    "model a string": (_head(model='"post"'), MALFORMED),
    "model null": (_head(model="null"), MALFORMED),
    "model Post": (_head(model='{"name":"Post","version":"1.0"}'), MISMATCH),
    "model version a number": (_head(model='{"name":"post","version":1}'), MALFORMED),
    "type PULL": (_head(type='"PULL"'), UNKNOWN),
    "type with a space": (_head(type='"pull "'), UNKNOWN),
    "type in Cyrillic letters": (_head(type='"\u0440ull"'), UNKNOWN),
    "type with a zero-width space": (_head(type='"pu\u200bll"'), UNKNOWN),
    "type empty": (_head(type='""'), UNKNOWN),
    "type __class__": (_head(type='"__class__"'), UNKNOWN),
    "type of 500,000 characters": (_head(type='"' + "p" * 500_000 + '"'), UNKNOWN),
    "an argument in capitals": (_more('"LIMIT":"x"'), SUCCESS),
    "an argument null": (_more('"limit":null,"after":null,"filter":null'), SUCCESS),
    "__proto__": (_more('"__proto__":{"limit":0},"constructor":1'), SUCCESS),
    "60,000 members": (_more(",".join(f'"{n}":0' for n in range(60_000))), SUCCESS),
    "80,000 members": (_more(",".join(f'"{n}":0' for n in range(80_000))), MALFORMED),
    "400,000 zeros": (_more('"x":[' + ",".join("0" * 400_000) + "]"), MALFORMED),
    "300,000 empty objects": (_more('"x":[' + ",".join(["{}"] * 300_000) + "]"), MALFORMED),
    "900,000 commas in a text": (_more('"x":"' + "," * 900_000 + '"'), SUCCESS),
    "a name of 900,000 characters": (_more('"' + "x" * 900_000 + '":1'), SUCCESS),
    "a string of 900,000 escapes' bytes": (_more('"x":"' + r"\u0041" * 150_000 + '"'), SUCCESS),
    "cut in half": (PULL[: len(PULL) // 2], MALFORMED),
    "cut before its end": (PULL[:-1], MALFORMED),
    "XML": ("<request><type>pull</type></request>", MALFORMED),
    "a pickle": (b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.", MALFORMED),
    "MessagePack": (b"\x83\xa4type\xa4pull\xa8protocol\xa31.0", MALFORMED),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(1000), MALFORMED),
    "all bytes": (bytes(range(256)) * 4, MALFORMED),
    "a mebibyte": (_more('"x":"' + "x" * (1024 * 1024) + '"'), (413, "too-large")),
}


def _case(name: str, text: str | bytes, expected: tuple[int, str]) -> Case:
    body = text if isinstance(text, bytes) else text.encode()
    return case(name, lambda arena: arena.request(body), expected)


CASES = of_kind("JSON", [_case(name, *given) for name, given in _TEXTS.items()])
