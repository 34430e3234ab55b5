#!/usr/bin/env python3
"""Makes the fixtures of the chat template tests: what jinja2, configured as transformers does, answers.

Needs `pip install jinja2 torch transformers` (made with jinja2 3.1.6 and transformers 5.23.0). Usage:

    make-template-fixtures.py Tests/FormatsTests/Fixtures/Templates

The folder holds the templates (*.jinja, written for these tests from the documented prompt formats); expressions.json and
conversations.json are written into it. A null stands where jinja2 refuses.
"""
import copy
import datetime
import json
import pathlib
import sys

import transformers.utils.chat_template_utils as utils

NOW = datetime.datetime(2024, 7, 26, 13, 5, 9, 250000)


class Clock(datetime.datetime):
    @classmethod
    def now(cls, zone=None):
        return NOW


utils.datetime = Clock

VARIABLES = {
    "text": "Hello, World! naïve café 日本 🦙 e\u0301",
    "padded": " \t\n x y \u3000 ",
    "lines": "one\ntwo\r\nthree\u2028four\n",
    "empty": "",
    "number": 42,
    "negative": -7,
    "half": 0.5,
    "list": [3, 1, 2],
    "words": ["pear", "Apple", "fig", "apple"],
    "nested": [[1, [2, 3]], [4]],
    "mixed": [1, "a", None, True, 2.5, {"k": "v"}, []],
    "people": [
        {"name": "Ann", "age": 31, "address": {"city": "Oslo"}, "admin": True},
        {"name": "bob", "age": 25, "address": {"city": "Rome"}},
        {"name": "Cy", "age": 31, "address": {"city": "oslo"}, "admin": False},
    ],
    "object": {"b": 1, "a": {"x": "\"q\" <&> é\n\t\u0001"}, "items": "own", "get": 3, "C": None, "pop": 1},
    "nothing": None,
    "yes": True,
}

# One template a line.
EXPRESSIONS = r"""
{{ 1 + 2 * 3 - 4 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }}
{{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ (1 + 2) * 3 }} {{ 10 - 4 - 3 }} {{ 100 / 10 / 2 }} {{ 1 if 0 else 2 }}
{{ 7.5 // 2 }} {{ -7.5 // 2 }} {{ 7.5 % 2 }} {{ -7.5 % 2 }} {{ 1e3 }} {{ 1.5e-7 }} {{ 123456789012345678.0 }} {{ 1e16 }} {{ 1e15 }}
{{ 0.1 + 0.2 }} {{ 1.0 }} {{ 100.0 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1/3 }} {{ 2.0 ** 70 }} {{ -0.0 }} {{ 5e-324 }} {{ 1.7976931348623157e308 }}
{{ 1 / 0 }}
{{ 1 // 0 }}
{{ 1 % 0 }}
{{ "a" + 1 }}
{{ "a" ~ 1 ~ none ~ true ~ 1.0 ~ [1] }}
{{ "ab" * 3 }} {{ 3 * "ab" }} {{ [1, 2] * 2 }} {{ "x" * -1 }}|{{ true + true }} {{ true * 3 }} {{ -true }} {{ +true }}
{{ [1] + [2, 3] }} {{ (1,) + (2,) }}
{{ [1] + (2,) }}
{{ missing + 1 }}
{{ -missing }}
{{ missing ~ "x" }} {{ missing }}|{{ missing == missing2 }} {{ missing == none }} {{ missing != 1 }} {{ 1 in missing }} {{ missing|length }} {{ not missing }}
{{ missing.attribute }}
{{ missing["item"] }}
{{ missing() }}
{{ missing < 1 }}
{{ nothing.attribute }} {{ nothing.attribute is defined }} {{ object.missing is undefined }} {{ object["nope"] }} {{ list[10] }} {{ list.nope }}
{{ nothing.attribute.more }}
{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ "a" < "b" }} {{ "Z" < "a" }} {{ [1, 2] < [1, 3] }} {{ [1] < [1, 0] }} {{ (1, 2) == [1, 2] }}
{{ 1 < "a" }}
{{ "a" in text }} {{ "Hello" in text }} {{ "" in text }} {{ 2 in list }} {{ "b" in object }} {{ "z" not in object }} {{ none in mixed }} {{ 1.0 in list }} {{ [4] in nested }}
{{ 1 in "a1" }}
{{ 1 in 1 }}
{{ true and 0 }} {{ 1 and 2 }} {{ 0 or "" }} {{ "" or "x" }} {{ not 1 }} {{ not not 1 }} {{ none or missing or 5 }} {{ 1 or missing.x }}
{{ "yes" if yes }}|{{ "yes" if not yes }}|{{ ("yes" if not yes) is defined }} {{ 1 if false else 2 if false else 3 }}
{{ none }} {{ true }} {{ False }} {{ None }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1_000 }} {{ 1_0.2_5 }} {{ 12e1 }}
{{ [1, "a", none, true, 1.5, {"k": (1,)}, (), [], {}] }}
{{ mixed }} {{ object.a }} {{ ("a", 'b"c', "d'e", "f'\"g") }} {{ ["\n\t\\\u00e9\u200b\x01"] }}
{{ {"a": 1, 2: "b", none: 3, true: 4, 1.5: 5} }} {{ {1: "a", 1.0: "b", true: "c"} }} {{ {"a": 1, "a": 2} }}
{{ {[1]: 2} }}
{{ text[0] }} {{ text[-1] }} {{ text[7:12] }} {{ text[-3:] }} {{ text[::-1] }} {{ text[::2] }} {{ text[20:] }} {{ text[100] }}|{{ text[:-25] }}
{{ list[0] }} {{ list[-1] }} {{ list[1:] }} {{ list[:-1] }} {{ list[::-1] }} {{ list[5:] }} {{ list[-100:2] }} {{ list[2:0:-1] }} {{ list[:0:-2] }} {{ (1,2,3)[1:] }}
{{ list[::0] }}
{{ list["a":] }}
{{ people[0].name }} {{ people[0]["name"] }} {{ people.0.name }} {{ people[0].address.city }} {{ people[-1]["address"]["city"] }} {{ nested.0.1.0 }}
{{ object.items is callable }} {{ object["items"] }} {{ object.get("b") }} {{ object["get"] }} {{ object.b }} {{ object.keys()|list }} {{ object.values()|list|length }}
{{ object.get("zz") }} {{ object.get("zz", 5) }} {{ object.get("C", 5) }} {{ object.get(1) }} {{ object.copy() == object }}
{{ object.pop }}|{{ object.update is defined }} {{ list.append is defined }} {{ object["pop"] }} {{ object.__class__ }}|{{ text.__len__ }}
{{ object.pop("b") }}
{{ object.update({"z": 1}) }}
{{ list.append(4) }}
{{ list.sort() }}
{{ list.index(1) }} {{ list.count(1) }} {{ list.index(2, 1) }} {{ (1, 1).count(1) }} {{ range(5).index(3) }}
{{ list.index(9) }}
{{ object.items() }}
{{ {"a": 1}.items() }} {{ {"a": 1}.keys() }} {{ {"a": 1}.values() }} {{ {"a": 1}.items()|length }}
{{ {"a": 1}.items()[0] }}|
{{ range(3) }} {{ range(1, 10, 3) }} {{ range(3)|list }} {{ range(5, 0, -2)|list }} {{ range(0)|list }} {{ range(10)[3] }} {{ range(3)|length }} {{ 2 in range(3) }}
{{ range(100001)|length }}
{{ range(100000)|length }} {{ range(0, -5)|list }} {{ range(-3)|list }}
{{ range(1, 2, 0) }}
{{ range("a") }}
{{ "a\tb\nc\\d\'e\"f\x41\u0042\101\q" }}
{{ 'it''s' "joined" }}
{{ text.upper() }} {{ text.lower() }} {{ text.title() }} {{ text.capitalize() }} {{ text.swapcase() }} {{ "ΑΣ ΟΔΟΣ".lower() }} {{ "ß".upper() }} {{ "ŉ ǆ".title() }}
{{ "hello wORLD it's 3rd".title() }} {{ "hello wORLD it's-ok (yes)"|title }} {{ "ABC"|capitalize }} {{ "abc"|upper }}
[{{ padded.strip() }}] [{{ padded.lstrip() }}] [{{ padded.rstrip() }}] [{{ padded|trim }}] [{{ "xxaxx".strip("x") }}] [{{ "abcba".lstrip("ab") }}] [{{ "xyx"|trim("x") }}] [{{ "<|im|>".strip("<|>") }}]
{{ "a b  c".split() }} {{ "a b  c".split(" ") }} {{ "a,b,c".split(",", 1) }} {{ "a,b,c".rsplit(",", 1) }} {{ "".split() }} {{ "".split(",") }} {{ " a b ".split(none, 1) }} {{ " a b c ".rsplit(none, 1) }}
{{ "a</think>b</think>c".split("</think>") }} {{ "a</think>b".split("</think>")[-1] }} {{ "a</think>b".split("</think>")[0].split("<think>")[-1] }} {{ "aXXbXXc".rsplit("XX") }} {{ "a,b".split(sep=",") }} {{ "a,b,c".split(",", maxsplit=1) }}
{{ "a".split("") }}
{{ lines.splitlines() }} {{ lines.splitlines(true) }} {{ "".splitlines() }} {{ "\n".splitlines() }}
{{ "abc".startswith("a") }} {{ "abc".startswith(("x", "a")) }} {{ "abc".endswith("bc") }} {{ "abc".startswith("b", 1) }} {{ "abc".endswith("b", 0, 2) }} {{ "".startswith("") }} {{ "a".startswith("", 5) }}
{{ "abcabc".replace("b", "X") }} {{ "abcabc".replace("b", "X", 1) }} {{ "abc".replace("", "-") }} {{ "abc".replace("", "-", 2) }} {{ "aaaa".replace("aa", "b") }} {{ "abc"|replace("b", "") }} {{ "aaa"|replace("a", "b", 2) }} {{ 121|replace(1, 3) }}
{{ "abcabc".find("c") }} {{ "abcabc".rfind("c") }} {{ "abc".find("z") }} {{ "日本語本".find("本") }} {{ "日本語本".rfind("本") }} {{ "abcabc".find("a", 1) }} {{ "abc".count("b") }} {{ "aaaa".count("aa") }} {{ "abc".count("") }} {{ "abc".find("") }} {{ "abc".rfind("") }} {{ "aaa".rfind("aa") }} {{ "abc".index("c") }}
{{ "abc".index("z") }}
{{ "a-b-c".partition("-") }} {{ "a-b-c".rpartition("-") }} {{ "abc".partition("-") }} {{ "abc".rpartition("-") }}
{{ ", ".join(["a", "b"]) }} {{ "".join(words) }} {{ "-".join("abc") }}
{{ ", ".join([1]) }}
{{ "12".isdigit() }} {{ "1a".isdigit() }} {{ "".isdigit() }} {{ "²".isdigit() }} {{ "½".isnumeric() }} {{ "½".isdigit() }} {{ "٣".isdecimal() }} {{ "ab".isalpha() }} {{ "a1".isalnum() }} {{ " \n".isspace() }} {{ "AB1".isupper() }} {{ "ab1".islower() }} {{ "Ab Cd".istitle() }} {{ "aB".islower() }} {{ "é".isascii() }} {{ "1".islower() }}
{{ "abc".removeprefix("a") }} {{ "abc".removesuffix("c") }} {{ "abc".removeprefix("x") }} [{{ "abc".center(8) }}] [{{ "abc".center(6) }}] [{{ "ab".center(5, "*") }}] [{{ "abc".ljust(5) }}] [{{ "abc".rjust(5, "0") }}] {{ "-42".zfill(6) }} {{ "a\tb".expandtabs(4) }}
{{ "{} and {}".format(1, "b") }} {{ "{1}{0}".format(1, 2) }} {{ "{a}-{b.x}-{c[0]}".format(a=1, b={"x": 2}, c=[3]) }} {{ "{{}}".format() }} {{ "{:>5}|{:<5}|{:^5}|{:05d}|{:.2f}|{:,}|{:x}|{:+d}|{:%}".format("a", "b", "c", 42, 3.14159, 1234567, 255, 5, 0.25) }} {{ "{!r}".format("a") }} {{ "{:*^9}".format("mid") }} {{ "{:{}}|".format("a", 4) }} {{ "{:10.3}|{:e}|{:g}".format("abcdef", 12345.678, 0.00001) }}
{{ "{}".format() }}
{{ "{".format(1) }}
{{ "%s is %d and %.2f%%" % ("x", 3, 1.005) }} {{ "%5d|%-5d|%05d|%x|%X|%o|%e|%g" % (42, 42, 42, 255, 255, 8, 12345.678, 0.0001) }} {{ "%(a)s-%(b)s" % {"a": 1, "b": 2} }} {{ "%s" % [1] }} {{ "%r" % "q" }} {{ "%5s|%-5s|%.1s" % ("a", "b", "cd") }} {{ "%c" % 65 }} {{ "%+d % d" % (1, 2) }} {{ "%#x" % 255 }}
{{ "%s %s" % "a" }}
{{ "%d" % "a" }}
{{ "%s, %s!"|format("Hi", "you") }} {{ "%(x)s"|format(x=3) }}
{{ [1, 2]|tojson }} {{ {"a": [1, 2.0, none, true, "é\"\n"], "b": {}}|tojson }} {{ []|tojson }} {{ "x</script>&'"|tojson }} {{ 1.0|tojson }} {{ none|tojson }} {{ (1, 2)|tojson }} {{ 1e100|tojson }} {{ {1: 2, none: 3, true: 4, 1.5: 6}|tojson }}
{{ object|tojson }} {{ object|tojson(indent=2) }} {{ object|tojson(sort_keys=true) }} {{ object.a|tojson(ensure_ascii=true) }} {{ "日🦙\x7f"|tojson(true) }} {{ {"a": [1, {}]}|tojson(separators=(",", ":")) }} {{ [1, [2, []]]|tojson(indent=4) }} {{ [1]|tojson(indent="\t") }} {{ [1]|tojson(indent=0) }} {{ {"a": 1}|tojson(indent=1, separators=(";", "=")) }}
{{ missing|tojson }}
{{ {"a": missing}|tojson }}
{{ (list|map("string"))|tojson }}
{{ range(3)|tojson }}
{{ 3.7|int }} {{ "42"|int }} {{ "42.9"|int }} {{ "x"|int }} {{ "x"|int(5) }} {{ "0x1f"|int(base=16) }} {{ "ff"|int(0, 16) }} {{ -3.7|int }} {{ true|int }} {{ none|int }} {{ " 7 "|int }} {{ "1_000"|int }} {{ []|int(9) }} {{ "12"|int(base=8) }}
{{ "1.5"|float }} {{ "x"|float }} {{ 3|float }} {{ "1e3"|float }} {{ none|float(2) }} {{ "inf"|float }} {{ "1."|float }} {{ ".5"|float }} {{ "nan"|float }}
{{ -3|abs }} {{ -3.5|abs }} {{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 1234.5678|round(2) }} {{ 2.1|round(0, "ceil") }} {{ 2.9|round(method="floor") }} {{ 1234|round(-2) }} {{ 42|round }} {{ 42.55|round(1, "floor") }} {{ 0.5|round }} {{ -1.5|round }}
{{ "a"|abs }}
{{ [1, 2]|length }} {{ text|length }} {{ object|count }} {{ "🦙é"|length }}
{{ 5|length }}
{{ (list|map("string"))|length }}
{{ list|first }} {{ list|last }} {{ ""|first }}|{{ []|last }}|{{ "abc"|first }} {{ object|first }} {{ object|last }} {{ list|map("string")|first }}
{{ list|sort }} {{ list|sort(reverse=true) }} {{ words|sort }} {{ words|sort(case_sensitive=true) }} {{ people|sort(attribute="age")|map(attribute="name")|list }} {{ people|sort(attribute="age,name", reverse=true)|map(attribute="name")|join(",") }} {{ "cab"|sort }} {{ object|sort }}
{{ mixed|sort }}
{{ words|unique|list }} {{ words|unique(true)|list }} {{ people|unique(attribute="age")|map(attribute="name")|list }} {{ [1, true, 1.0, 2]|unique|list }}
{{ list|min }} {{ list|max }} {{ words|min }} {{ words|max }} {{ []|min }}|{{ people|max(attribute="age") }} {{ people|min(attribute="name") }}
{{ list|sum }} {{ people|sum(attribute="age") }} {{ [0.1, 0.2]|sum }} {{ [[1], [2]]|sum(start=[]) }} {{ []|sum }}
{{ list|reverse|list }} {{ "abc"|reverse }} {{ list|join(", ") }} {{ words|join }} {{ people|join("; ", attribute="name") }} {{ mixed|join("|") }} {{ "abc"|join("-") }}
{{ list|batch(2)|list }} {{ list|batch(2, "x")|list }} {{ range(7)|slice(3)|list }} {{ range(7)|slice(3, "x")|list }} {{ []|batch(2)|list }} {{ list|batch(5, 0)|list }}
{{ people|groupby("address.city")|list|length }} {% for g in people|groupby("age") %}{{ g.grouper }}:{{ g.list|map(attribute="name")|join(",") }};{% endfor %} {% for city, group in people|groupby("address.city") %}{{ city }}={{ group|length }} {% endfor %}{{ people|groupby("admin", default=true)|map("first")|list }}
{{ object|dictsort|map("first")|list }} {{ {"a": 2, "b": 1}|dictsort(by="value") }} {{ {"a": 1, "B": 2}|dictsort(true) }} {{ {"a": 1, "b": 2}|dictsort(reverse=true) }}
{% for k, v in object|items %}{{ k }}={{ v }};{% endfor %} {{ missing|items|list }}
{{ missing|default("d") }} {{ ""|default("d") }} {{ ""|default("d", true) }} {{ none|d("x", boolean=true) }} {{ object.nope|default({})|length }} {{ missing|d }}|{{ 0|default(5) }}
{{ missing.x|default("d") }}
{{ list|map("string")|list }} {{ words|map("upper")|join(" ") }} {{ people|map(attribute="address.city")|list }} {{ people|map(attribute="admin", default="no")|list }} {{ nested|map("first")|list }} {{ words|map("replace", "p", "P")|list }} {{ nested|map(attribute=0)|list }} {{ ["1"]|map("int")|sum }}
{{ list|map("nofilter")|list }}
{{ [1, 2, 3, 4]|select("odd")|list }} {{ [1, 2, 3, 4]|reject("odd")|list }} {{ [0, 1, "", "a"]|select|list }} {{ [0, 1]|reject|list }} {{ [1, 2, 3]|select("greaterthan", 1)|list }} {{ [1, 2, 3]|select("in", [1, 3])|list }} {{ words|select("equalto", "fig")|list }} {{ [1, 2, 3]|select(">=", 2)|list }} {{ mixed|select("string")|list }}
{{ people|selectattr("admin")|map(attribute="name")|list }} {{ people|selectattr("age", "equalto", 31)|map(attribute="name")|list }} {{ people|rejectattr("admin")|map(attribute="name")|list }} {{ people|selectattr("admin", "defined")|list|length }} {{ people|selectattr("address.city", "eq", "Rome")|first }} {{ (people|selectattr("name", "eq", "nobody"))|first is defined }}
{{ "yes" if people|selectattr("name", "eq", "nobody") else "no" }} {{ "yes" if people|selectattr("name", "eq", "nobody")|list else "no" }}
{% set g = list|map("string") %}{{ g|list }} {{ g|list }}
{{ "a b c"|wordcount }} {{ "it's naïve"|wordcount }} {{ "foo bar baz qux"|truncate(9) }} {{ "foo bar baz qux"|truncate(9, true) }} {{ "foo bar"|truncate(5) }} {{ "foo bar baz"|truncate(5, leeway=0) }} {{ "foo bar baz qux"|truncate(11, end="…", leeway=0) }}
[{{ "x"|center(5) }}] {{ "a\nb\n\nc"|indent }} {{ "a\nb"|indent(2, true) }} {{ "a\n\nb"|indent(2, blank=true) }} {{ "a\nb"|indent("> ") }} {{ "a\n"|indent(2) }}|
{{ "<a href='x'>&\"</a>"|e }} {{ "<b>x</b>  y"|striptags }} {{ "a b/c?d=é&e"|urlencode }} {{ {"a b": "c/d", "e": 1}|urlencode }} {{ "<"|safe }} {{ "<"|escape }} {{ 5|string|length }} {{ [1]|string }}
{{ list|attr("index") is callable }} {{ object|attr("b") is defined }} {{ object|attr("nope") is undefined }}
{{ 1 is defined }} {{ missing is defined }} {{ missing is undefined }} {{ none is none }} {{ nothing is not none }} {{ 1 is number }} {{ true is number }} {{ true is integer }} {{ 1 is integer }} {{ 1.0 is float }} {{ true is boolean }} {{ 1 is boolean }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ 0 is false }}
{{ "a" is string }} {{ object is mapping }} {{ list is mapping }} {{ list is sequence }} {{ "a" is sequence }} {{ object is sequence }} {{ 1 is sequence }} {{ (list|map("int")) is sequence }} {{ (list|map("int")) is iterable }} {{ object.keys() is sequence }} {{ range(3) is sequence }} {{ 1 is iterable }} {{ missing is iterable }} {{ missing is sequence }} {{ none is iterable }} {{ range is callable }} {{ missing is callable }} {{ 1 is callable }}
{{ 3 is odd }} {{ 3 is even }} {{ 4 is divisibleby 2 }} {{ 4 is divisibleby(3) }} {{ 1 is eq 1 }} {{ 1 is equalto 2 }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 1 is lessthan 2 }} {{ 1 is ge 1 }} {{ "a" is in "abc" }} {{ 1 is in [1] }} {{ 1 is not in [1] }} {{ "a" is lower }} {{ "A" is upper }} {{ "aB" is lower }} {{ 1 is sameas 1 }} {{ true is sameas 1 }} {{ none is sameas none }}
{{ 1 is nosuchtest }}
{{ 1|nosuchfilter }}
{{ 5 is odd and 4 is even or false }} {{ not 5 is odd }} {{ 3 + 4 is odd }} {{ (3 + 4) is odd }} {{ "a" ~ 1 is string }} {{ list|length > 2 }} {{ list|length == 3 and true }} {{ -1|abs }} {{ "a" in words|map("lower") }} {{ not "x" in words }}
{% for x in list %}{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}
{% for x in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}
{% for x in list %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }}{{ loop.cycle("a", "b") }}{{ loop.changed(x > 1) }} {% endfor %}
{% for x in list if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% else %}none{% endfor %}{% for x in [] %}x{% else %}empty{% endfor %}{% for x in list if x > 9 %}x{% else %}none{% endfor %}
{% for x in missing %}x{% else %}undefined{% endfor %}{% for c in "aé🦙" %}{{ c }}.{% endfor %}{% for k in object %}{{ k }} {% endfor %}{% for k, v in {"a": 1, "b": 2}.items() %}{{ k }}{{ v }}{% endfor %}
{% for x in none %}{% endfor %}
{% for x in 5 %}{% endfor %}
{% for a, b in [[1, 2], [3, 4]] %}{{ a }}{{ b }}{% endfor %}{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for a, b in [[1, 2, 3]] %}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% for x in [1, 2, 3, 4] %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in [1, 2] %}{% for y in [1, 2] %}{% if y == 2 %}{% break %}{% endif %}{{ x }}{{ y }}{{ loop.index }} {% endfor %}{{ loop.index }}{% endfor %}
{% for item in nested recursive %}{% if item is sequence %}[{{ loop(item) }}]{% else %}{{ item }}@{{ loop.depth }}{% endif %}{% endfor %}
{% for x in [1] %}{{ loop([1]) }}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}
{% set ns = namespace(n=0, s="") %}{% for i in list %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }}{{ ns.s }}{{ ns.missing is defined }}
{% set ns = namespace({"a": 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns["a"] }}{% set ns.c = [1] %}{{ ns.c }}
{% set ns = namespace(_x=1) %}
{% set object.x = 1 %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d) = [3, 4] %}{{ c }}{{ d }}{% set t = 1, 2 %}{{ t }}{% set e = (5,) %}{{ e }}
{% set a, b = 1 %}
{% set x %}block {{ 1 + 1 }}{% endset %}[{{ x }}]{% set y | upper | replace("A", "4") %}abc{% endset %}{{ y }}
{% if true %}{% set z = 1 %}{% endif %}{{ z }}{% if false %}{% set w = 1 %}{% endif %}{{ w is defined }}{% set text = "new" %}{{ text }}
{% if 0 %}a{% elif "" %}b{% elif [0] %}c{% else %}d{% endif %}{% if none %}a{% elif missing %}b{% else %}e{% endif %}{% if {} %}{% else %}f{% endif %}
{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(1, c=5) }} {{ m(b=1, a=2) }} {{ m() }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=2) }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}
{% macro m(x) %}<{{ caller("A", x) }}>{% endmacro %}{% call(a, b=0) m(5) %}{{ a }}{{ b }}{% endcall %}{% macro n() %}{{ caller is defined }}{% if caller %}{{ caller() }}{% endif %}{% endmacro %}{{ n() }}{% call n() %}body{% endcall %}
{% macro f(n) %}{{ n }}{% if n > 0 %},{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}|{{ f.name }} {{ f.arguments }} {{ f }}
{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}
{% set x = "outer" %}{% macro show() %}{{ x }}{% endmacro %}{% set x = "later" %}{{ show() }}{% for x in ["in"] %}{{ show() }}{% endfor %}
{% macro m() %}{% set inner = 1 %}{{ inner }}{% endmacro %}{{ m() }}{{ inner is defined }}{{ m() is string }}{{ m()|length }}
{% filter upper %}abc {{ "x" }}{% endfilter %}{% filter replace("a", "b")|upper %}aa{% endfilter %}{% filter trim %}  x  {% endfilter %}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}{% with %}x{% endwith %}{% set a = 5 %}{% with a = a + 1, b = a %}{{ a }}{{ b }}{% endwith %}
{% generation %}text {{ 1 }}{% set q = 1 %}{% endgeneration %}{{ q is defined }}{% for i in [1, 2] %}{% generation %}{{ i }}{{ loop.last }}{% endgeneration %}{% endfor %}
{% print 1, "a" %}{% set c = cycler("a", "b") %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}{% set j = joiner("; ") %}{{ j() }}a{{ j() }}b{{ joiner()() }}
{{ dict(a=1, b=[2]) }} {{ dict([["x", 1]]) }} {{ dict({"a": 1}, b=2) }} {{ dict() }}
{{ raise_exception("no") }}
{{ strftime_now("%Y-%m-%d %d %b %Y %B %H:%M:%S %j %A %a %p %I %y %e %-d %-m %% %U %W %V %G %u %w %f %F %T %D %R %c %x %X %C %h %s %q %Z|%z") }}
{% import "x" as y %}
{% include "x" %}
{% extends "x" %}
{% unknown %}
{% endif %}
{% if true %}
{% for x in list %}
{{ 1 +
{{ 1 + }}
{{ (1 }}
{{ 1) }}
{{ }}
{{ "a }}
{% set 1 = 2 %}
{% set none = 2 %}
{# unclosed
{% raw %}x
{{ a b }}
{{ 1 is defined is defined }}
{{ 01 }}
{{ ; }}
{% break %}
{% macro m() %}{% break %}{% endmacro %}
{% call 5 %}{% endcall %}
a{# comment #}b{#- x -#} c {#+ d +#} e
{% raw %}{{ not evaluated }} {% if %}{% endraw %}|{%- raw -%}  x  {%- endraw -%}  y
a {%- if true -%} b {%- endif -%} c {{- 1 -}} d {{ 2 -}} e {{- 3 }} f
{{ "}}" }} {{ {"a": {"b": 1}}["a"]["b"] }} {{ "{% x %}" }} {{ {"a": 1}}} {{ [{}] }}
{{- 1 }}{{ -1 }}{{ - 1 }}{{+ 1 }}
{{ text | upper | lower | length }} {{ (text | upper).lower() | title }} {{ [1, 2, 3] | first + 1 }} {{ "a,b" | replace(",", "-") ~ "c" }}
{{ people|map(attribute="name")|map("lower")|join(",")|upper }} {{ people[0].name.upper().lower()[0] }} {{ people[1]["name"][::-1].title() }}
{{ object["a"]["x"] | length }} {{ object.a.x.split()[0] }} {{ ("a" "b") }} {{ ("a", ) }} {{ (1) }} {{ () }}
{{ "a" if "b" in ["b"] else "c" }}{{ ("x" if yes else "y") ~ "z" }}{{ [1 if yes else 2] }}{{ {"k": 1 if yes else 2} }}
{{ m(1) if false else 2 }} {{ list | sort | first }} {{ list is iterable and list is not string }} {{ none is none and 1 }}
{% for message in [{"role": "user", "content": "hi"}, {"role": "assistant", "content": none}] %}{% if message.content is not none %}{{ message["role"] }}: {{ message.content }}{% elif loop.last %}last{% endif %}{% endfor %}
{% set f = text.upper %}{{ f() }}{% set s = "%s" %}{{ s % "x" }} {{ text.split("l", 2)|join("L") }} {{ text.format is defined }} {{ "a".join(["x", "y"])|upper }}
{{ 9223372036854775807 }} {{ 9007199254740993 == 9007199254740992.0 }} {{ 3 == 3.0 }} {{ 1e400 }} {{ -1e400 }}
{{ list[true] }} {{ text[yes] }} {{ object[none] }}|{{ {"1": 2}[1] }}|{{ {1: 2}[1] }} {{ {1: 2}[true] }} {{ {1: 2}["1"] }}|
{{ "é" == "e\u0301" }} {{ "e\u0301"|length }} {{ "e\u0301" in "é" }} {{ {"é": 1}["e\u0301"] is defined }} {{ ["é", "e\u0301"]|unique|list|length }} {{ "\r\n"|length }} {{ "\r\n".split("\n")|length }} {{ "👩‍👩‍👧"|length }} {{ "👩‍👩‍👧"[0] == "👩" }}
{{ "x" * 3 ~ "y" }} {{ 1 ~ 2 * 3 }} {{ 1 + 2 ~ 3 }} {{ "a" ~ "b" == "ab" }} {{ not true or true }} {{ 1 - -1 }} {{ 2 - 1|abs }} {{ "1" + "2"|int|string|string }}
{{ nothing|map("upper")|list }} {{ 0|select|list }} {{ false|selectattr("a")|list }} {{ 0 % -2.5 }} {{ 0.0 // -2 }} {{ "x" % [1] }} {{ list|truncate(5) }} {{ missing|truncate(5) }}
{{ nothing[1:] }}
""".strip("\n").split("\n")

# Templates with line breaks, which trim_blocks and lstrip_blocks concern.
BLOCKS = [
    "{% if true %}\n  yes\n{% endif %}\nend\n",
    "a\n  {% if true %}\n  b\n  {% endif %}\n  c",
    "a\n  {{ 1 }}\n  {%- if true %} b {% endif -%}\n\n c",
    "a\n  {%+ if true %}b{% endif +%}\n c",
    "  {% set x = 1 %}  \n  {{ x }}\n",
    "x {% if true %}\n y {% endif %} z\n\n",
    "{# c #}\nA\n  {# c #}\nB{#- c #}\n\nC {# c -#}\n D",
    "{% raw %}\n {{ x }}\n  {% endraw %}\nend",
    "{%- for m in [1, 2] -%}\n  {{ m }}\n{%- endfor -%}\n tail",
    "{% for m in [1, 2] %}\n{{ m }}\n{% endfor %}\ntail\n\n",
    "a\r\nb\rc\n{{ 'x\ny' }}",
    "\t{% if true %}\n\ta\n\t{% endif %}b",
    "{% macro m() -%}\n  a\n{%- endmacro %}\n[{{ m() }}]\n",
    "{{ {\n'a': 1,\n'b': [1,\n2]\n} }}",
    "{%- set x %}\n a\n{% endset %}\n[{{ x }}]",
    "a {%- raw %} b {% endraw -%} c",
    "\n\n{% if true %}\n\n{% endif %}\n\n",
    "{{ 1 }}\n{{ 2 }}\n\n{{- 3 }}",
    "a{% if true -%}\n\n b{% endif %}",
    "line\n \u00a0{% if true %}x{% endif %}",
]

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "City and country, as in \"Zürich, CH\""},
                "days": {"type": "integer", "default": 1},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "nullable": True},
            },
            "required": ["city"],
        },
    },
}
SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Searches <documents> & more.",
        "parameters": {
            "type": "object",
            "properties": {
                "queries": {"type": "array", "items": {"type": "string"}},
                "filter": {
                    "type": "object",
                    "properties": {
                        "since": {"type": ["string", "null"], "description": "A date\nor nothing"},
                        "kind": {"oneOf": [{"type": "string", "description": "a name"}, {"type": "number"}]},
                    },
                    "required": ["since"],
                },
            },
            "required": ["queries"],
        },
    },
}


def call(name, arguments, identifier):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


USER = {"role": "user", "content": "What is 2 + 2? "}
SYSTEM = {"role": "system", "content": "Be brief. <b>&'\""}
CALL = {"role": "assistant", "content": None, "tool_calls": [call("get_weather", {"city": "Zürich", "days": 2}, "abcdef123")]}
RESULT = {"role": "tool", "name": "get_weather", "tool_call_id": "abcdef123", "content": '{"sky": "clear", "high": 21.5}'}

CONVERSATIONS = {
    "question": {"messages": [USER], "add_generation_prompt": True},
    "system": {"messages": [SYSTEM, USER], "add_generation_prompt": True},
    "turns": {
        "messages": [
            SYSTEM, USER, {"role": "assistant", "content": "\n\n 4 "}, {"role": "user", "content": "Sure?\n\nThink 🦙"},
            {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes."},
        ],
    },
    "tools": {"messages": [USER], "tools": [WEATHER, SEARCH], "add_generation_prompt": True},
    "calls": {
        "messages": [
            SYSTEM, {"role": "user", "content": "Weather in Zürich?"}, CALL, RESULT,
            {"role": "assistant", "content": "Clear, 21.5 °C."}, {"role": "user", "content": "And in Rome?"},
        ],
        "tools": [WEATHER], "add_generation_prompt": True,
    },
    "called": {"messages": [{"role": "user", "content": "Weather?"}, CALL, RESULT], "tools": [WEATHER], "add_generation_prompt": True},
    "two calls": {
        "messages": [
            USER,
            {"role": "assistant", "content": "Both.", "tool_calls": [
                call("search", {"queries": ["a", "é\n"], "filter": {}}, "111111111"), call("get_weather", {}, "222222222")]},
            {"role": "tool", "content": "one", "tool_call_id": "111111111"},
            {"role": "tool", "content": "two", "tool_call_id": "222222222"},
        ],
    },
    "thinking": {
        "messages": [USER, {"role": "assistant", "reasoning_content": "2 and 2", "content": "4"}, USER,
                     {"role": "assistant", "thinking": "again", "content": "4!"}],
    },
    "called thinking": {"messages": [USER, dict(CALL, thinking="Look it up."), RESULT], "tools": [WEATHER], "add_generation_prompt": True},
    "continued": {"messages": [USER, {"role": "assistant", "content": "The answer "}], "continue_final_message": True},
    "documents": {
        "messages": [USER],
        "documents": [{"title": "One", "text": "First."}, {"title": "Two", "text": "Second."}],
        "add_generation_prompt": True,
    },
    "parts": {
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Look."}]},
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " What is it? "}]},
        ],
        "add_generation_prompt": True,
    },
    "wrong order": {"messages": [USER, USER], "add_generation_prompt": True},
    "orphan": {"messages": [USER, RESULT]},
}
EVERYWHERE = ["question", "system", "turns"]
CALLING = EVERYWHERE + ["tools", "calls", "called"]
# Special tokens, conversations, and further variables with the conversations they are used with.
FAMILIES = {
    "chatml": (["<s>", "<|im_end|>"], EVERYWHERE + ["continued"], {}),
    "commandr": (["<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>"], CALLING + ["documents"], {}),
    "deepseekr1": (["<|begin▁of▁sentence|>", "<|end▁of▁sentence|>"], CALLING, {}),
    "deepseekv3": (["<|begin▁of▁sentence|>", "<|end▁of▁sentence|>"], CALLING + ["two calls"], {"thinking": True}),
    "gemma2": (["<bos>", "<eos>"], EVERYWHERE + ["wrong order", "continued"], {}),
    "gemma3": (["<bos>", "<eos>"], EVERYWHERE + ["parts", "wrong order"], {}),
    "gptoss": (["<|startoftext|>", "<|return|>"], CALLING + ["thinking", "called thinking", "orphan"], {"reasoning_effort": "high"}),
    "granite": (["<|end_of_text|>", "<|end_of_text|>"], CALLING + ["documents"], {"controls": {"citations": True, "length": "short"}}),
    "llama2": (["<s>", "</s>"], EVERYWHERE + ["wrong order"], {}),
    "llama31": (["<|begin_of_text|>", "<|eot_id|>"], CALLING + ["two calls", "continued"], {"date_string": "1 Jan 2025"}),
    "mistral": (["<s>", "</s>"], CALLING + ["two calls", "wrong order"], {}),
    "phi3": (["<s>", "<|endoftext|>"], EVERYWHERE, {}),
    "phi4mini": (["<|endoftext|>", "<|endoftext|>"], EVERYWHERE + ["calls"], {}),
    "qwen25": (["<s>", "<|im_end|>"], CALLING + ["two calls"], {}),
    "qwen3": (["<s>", "<|im_end|>"], CALLING + ["two calls", "thinking"], {"enable_thinking": False}),
    "smollm3": (["<s>", "<|im_end|>"], CALLING, {"enable_thinking": False}),
    "zephyr": (["<s>", "</s>"], EVERYWHERE + ["continued"], {}),
}


def prompt(folder, family, conversation, variables):
    bos, eos = FAMILIES[family][0]
    arguments = copy.deepcopy(CONVERSATIONS[conversation])
    texts, _ = utils.render_jinja_template(
        [arguments.pop("messages")], chat_template=(folder / f"{family}.jinja").read_text(),
        bos_token=bos, eos_token=eos, **arguments, **variables)
    return texts[0]

DATE = "%Y-%m-%d %a %j %H:%I%p %U %W %V %G"


def rendered(render):
    try:
        return render()
    except Exception:
        return None


def main(folder):
    answers = []
    for template in EXPRESSIONS + BLOCKS:
        answers.append([template, rendered(lambda: utils._compile_jinja_template(template).render(**VARIABLES))])
    prompts = []
    for family, (tokens, conversations, variables) in FAMILIES.items():
        for conversation in conversations:
            prompts.append([family, conversation, {}, rendered(lambda: prompt(folder, family, conversation, {}))])
        if variables:
            conversation = "documents" if "documents" in conversations else "tools"
            prompts.append([family, conversation, variables, rendered(lambda: prompt(folder, family, conversation, variables))])
    for family, conversation, variables, text in prompts:
        print(family, conversation, variables, "-", "refused" if text is None else f"{len(text)} characters")
    write(folder / "conversations.json", {
        "now": unix(NOW), "tokens": {family: tokens for family, (tokens, _, _) in FAMILIES.items()},
        "conversations": CONVERSATIONS, "prompts": prompts})
    dates = []
    for year in (1, 1600, 1899, 1900, 1969, 1970, 1972, 1999, 2000, 2004, 2015, 2020, 2021, 2024, 2026, 2100, 9999):
        for month, day in ((1, 1), (1, 4), (2, 28), (3, 1), (6, 15), (12, 28), (12, 31)):
            date = datetime.datetime(year, month, day, (year + day) % 24, month, day)
            dates.append([unix(date), date.strftime(DATE)])
    write(folder / "expressions.json", {
        "now": unix(NOW), "variables": VARIABLES, "answers": answers, "dateFormat": DATE, "dates": dates})


def unix(date):
    return date.replace(tzinfo=datetime.timezone.utc).timestamp()


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
