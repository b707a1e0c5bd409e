"""JSON to measure masking with: arguments whose keys tell what their values are, and ordinary JSON with nothing in it.

Everything follows from the seed. Values are made, none is anybody's.
"""

import base64
import hashlib
import json
import re
import string
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, NamedTuple


class Told(NamedTuple):
    """A document of one object, the keys that lead to the sensitive value in it, and what that is."""

    document: Any
    path: tuple[str | int, ...]
    entity: str


_FIRST: Final = (
    "Jane",
    "Minh",
    "Søren",
    "Ewa",
    "José",
    "Aïcha",
    "Ulrike",
    "Mary-Jane",
    "Jean-Luc",
    "Ng",
    "ada",
    "MARK",
    "Łukasz",
    "美咲",
)
_LAST: Final = (
    "Roe",
    "Nguyen",
    "O'Brien",
    "van der Berg",
    "García Márquez",
    "Müller",
    "Smith-Jones",
    "Li",
    "ROE",
    "smith",
    "Петров",
)
_STREETS: Final = (
    *("{n} High Street", "{n} W. 42nd St., Apt {m}", "Hauptstraße {n}", "{n} rue de Rivoli", "Calle Mayor {n}, {m}º"),
    *("{n}B Baker St", "P.O. Box {n}{m}", "Flat {m}, {n} King's Road", "ul. Długa {n}/{m}", "{n}-{m} Sakura-dori"),
)
_CITIES: Final = ("Springfield", "New York", "München", "São Paulo", "Kraków", "Aix-en-Provence", "St. Louis", "Osaka")


def _digits(random: Random, count: int) -> str:
    return str(random.randint(1, 9)) + "".join(str(random.randint(0, 9)) for _ in range(count - 1))


def _letters(random: Random, count: int, alphabet: str = "ABCDEFGHJKLMNPRSTUVWXYZ") -> str:
    return "".join(random.choice(alphabet) for _ in range(count))


def _token(random: Random, count: int) -> str:
    return base64.b64encode(random.randbytes(count)).decode()[:count].replace("/", "x").replace("+", "Y")


def _date(random: Random) -> str:
    day = datetime(1930, 1, 1, tzinfo=UTC) + timedelta(days=random.randint(0, 29000))
    return day.strftime(
        random.choice(["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%y", "%d.%m.%Y", "%B %d, %Y", "%d %b %Y", "%Y%m%d"])
    )


def _name(random: Random) -> str:
    return f"{random.choice(_FIRST)} {random.choice(_LAST)}"


def _street(random: Random) -> str:
    return random.choice(_STREETS).format(n=random.randint(1, 999), m=random.randint(1, 40))


def _card(random: Random) -> Any:
    number = "4" + _digits(random, 15)  # mostly not valid: a typo does not make it anything else
    parts = [number[start : start + 4] for start in range(0, 16, 4)]
    return random.choice([number, " ".join(parts), "-".join(parts), int(number)])


def _phone(random: Random) -> Any:
    shape = random.choice(["+1 415 555 {}", "0{} 7946 0958", "(415) 555-{}", "+49 151 2345{}", "415555{}", "555-{}"])
    return shape.format(_digits(random, 4))


def _ssn(random: Random) -> Any:
    number = _digits(random, 9)
    return random.choice([number, f"{number[:3]}-{number[3:5]}-{number[5:]}", int(number)])


_Make = Callable[[Random], Any]
_VALUES: Final[dict[str, _Make]] = {
    "first": lambda random: random.choice(_FIRST),
    "last": lambda random: random.choice(_LAST),
    "name": _name,
    "street": _street,
    "zip": lambda random: random.choice([_digits(random, 5), "SW1A 1AA", "K1A 0B1", int(_digits(random, 5))]),
    "city": lambda random: random.choice(_CITIES),
    "date": _date,
    "age": lambda random: random.randint(18, 99),
    "password": lambda random: random.choice(["hunter2", "Tr0ub4dor&3", "correct horse", "qwerty", "Pa55 word"]),
    "code": lambda random: _digits(random, 6),
    "cvv": lambda random: _digits(random, 3),
    "token": lambda random: _token(random, 40),
    "header": lambda random: f"Bearer {_token(random, 30)}",
    "ssn": _ssn,
    "card": _card,
    "iban": lambda random: f"DE{_digits(random, 20)}",
    "phone": _phone,
    "email": lambda random: f"j{_digits(random, 3)}@mail{_digits(random, 2)}",
    "letter and digits": lambda random: _letters(random, 1) + _digits(random, 8),
    "ten digits": lambda random: _digits(random, 10),
    "nine digits": lambda random: _digits(random, 9),
    "dashed": lambda random: f"{_digits(random, 2)}-{_digits(random, 7)}",
    "belief": lambda random: random.choice(["Danish", "Roman Catholic", "Kurdish"]),
}
_TELLING: Final = """
PERSON / first / first_name firstName FirstName given-name customer.givenName fname vorname
PERSON / last / last_name lastName surname patient.familyName maiden_name apellido lname
PERSON / name / full_name fullName customer_name patientName cardholder account_holder contact_name customer.name
PERSON / name / employee.full_name passengers.0.name beneficiary_name user.name recipientName name_on_card prénom
STREET_ADDRESS / street / address street_address addressLine1 home_address shipping.address billingAddress addr
STREET_ADDRESS / street / customer.address.line1 mailing_address address_line_2 shipping_street patient.address
ZIP_CODE / zip / zip zip_code postcode plz postalCode shipping_zip address.zip billing.postal_code
LOCATION / city / address.city shipping_city billingAddress.city
DATE_OF_BIRTH / date / date_of_birth dateOfBirth dob DOB birthDate birthday patient.birth_date customerDob geburtsdatum
AGE / age / patient.age customer_age
PASSWORD / password / password passwd db.password userPassword new_password
PASSWORD / code / otp verification_code one_time_password
PIN / code / pin cardPin
CVV / cvv / cvv cvc card.cvv
API_KEY / token / api_key apiKey X-API-Key apikey stripe_api_key secret_access_key
SECRET / token / client_secret accessToken refresh_token auth_token token clientSecret
SECRET / header / authorization headers.Authorization
US_SSN / ssn / ssn SSN customer.ssn social_security_number socialSecurity employee_ssn
CREDIT_CARD / card / card_number cardNumber cardnumber credit_card creditCard payment.card.number cc_number pan
IBAN_CODE / iban / iban IBAN bank.iban customer_iban
PHONE_NUMBER / phone / phone phoneNumber mobile contact.phone telephone home_phone cell mobile_number phones.0.number
EMAIL_ADDRESS / email / email emailAddress customer.email
PASSPORT / letter and digits / passport passport_number passportNo
DRIVER_LICENSE / letter and digits / drivers_license driverLicenseNumber dl_number
NATIONAL_ID / letter and digits / national_id nationalId citizen_id identity_number id_card_number
TAX_ID / dashed / tax_id taxId vat_number ein
BANK_ACCOUNT / ten digits / account_number accountNumber bank_account bankAccountNumber
ABA_ROUTING_NUMBER / nine digits / routing_number routingNumber
MEDICAL_RECORD / letter and digits / mrn medical_record_number patient_id medicalRecordNumber
NRP / belief / nationality religion ethnicity
"""


def telling(seed: int, rounds: int = 20) -> Iterator[Told]:
    """Each telling key so many times, deep in an argument with other members beside it."""
    random = Random(seed)
    rows = [line.split(" / ") for line in _TELLING.strip().splitlines()]
    for entity, kind, places in rows * rounds:
        for place in places.split():
            path = tuple(int(step) if step.isdigit() else step for step in place.split("."))
            value = _VALUES[kind](random)
            for step in reversed(path):
                value = [value] if isinstance(step, int) else {**_besides(random), step: value}
            yield Told(value, path, entity)


def _besides(random: Random) -> dict[str, Any]:
    return random.choice(
        [
            {},
            {"id": random.randint(1, 10**6)},
            {"status": "active", "version": 3},
            {"request_id": str(uuid.UUID(int=random.getrandbits(128)))},
        ]
    )


_ORDINARY: Final = """
{"order_id": "ORD-2024-<d7>", "customer_id": "<uuid>", "status": "<state>", "created_at": "<time>",
  "updatedAt": <millis>,
 "currency": "EUR", "total": <price>, "tracking_number": "1Z<caps3><d13>", "invoice_number": "<d10>",
 "lines": [{"sku": "<caps3>-<d5>", "name": "<product>", "quantity": 2, "unit_price": <price>, "ean": "<d13>"},
           {"sku": "<caps3>-<d5>", "name": "<product>", "quantity": 1, "unit_price": <price>, "product_id": <d8>}],
 "shipping": {"method": "express", "weight": "<price> kg", "carrier": "UPS", "city": null},
 "discount_code": "SPRING<d2>", "payment": {"status": "captured", "method": "card", "token": null}}
---
{"ts": "<time>", "level": "info", "msg": "<message>", "logger": "shop.orders", "trace_id": "<sha32>",
  "span_id": "<sha16>",
 "service": {"name": "<service>", "version": "2.<d2>.1"}, "duration_ms": <price>, "pid": <d5>,
 "host": "<service>-<sha5>", "thread": "main", "event": {"name": "<product>"}}
---
{"ts": "<time>", "level": "error", "message": "<message>", "request_id": "<uuid>",
  "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
 "path": "/api/v1/orders/<d8>", "status": 500, "bytes": <d6>, "error": {"code": "E<d4>", "name": "TimeoutError"}}
---
{"metric": "http_requests_total", "labels": {"job": "<service>", "instance": "node-<d2>", "region": "eu-central-1"},
 "values": [[<seconds>, "<price>"], [<seconds>, "<price>"], [<seconds>, "<price>"]], "p50": <price>, "p99": <price>,
 "max_tokens": 4096, "total_tokens": <d6>, "age": <d2>, "counter": <d12>, "ratio": 0.<d16>}
---
{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "<service>", "namespace": "shop",
  "uid": "<uuid>",
 "resourceVersion": "<d9>", "creationTimestamp": "<time>", "generation": 7,
  "annotations": {"checksum/config": "<sha64>"}},
 "spec": {"replicas": 3, "template": {"spec": {"serviceAccountName": "default",
 "volumes": [{"name": "tls", "secret": {"secretName": "<service>-tls"}}],
 "containers": [{"name": "<service>", "image": "registry.example/<service>@sha256:<sha64>",
 "ports": [{"name": "http", "containerPort": 8080}], "resources": {"limits": {"cpu": "500m", "memory": "512Mi"}},
 "env": [{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
         {"name": "LOG_LEVEL", "value": "info"}]}]}}}}
---
{"pipeline": {"id": <d9>, "name": "build-and-test", "ref": "refs/heads/main", "sha": "<sha40>"},
 "repository": {"name": "<service>", "full_name": "example/<service>",
  "clone_url": "https://git.example/x/<service>.git"},
 "jobs": [{"name": "Build Image", "status": "<state>", "duration": <price>, "runner": "runner-<d2>",
  "started_at": "<time>"},
          {"name": "unit tests", "status": "<state>", "duration": <price>, "runner": "runner-<d2>",
  "started_at": "<time>"}],
 "artifact": {"file_name": "app-<d3>.tar.gz", "size": <d8>, "md5": "<sha32>", "etag": "\\"<sha32>\\""},
 "next_page_token": "<base64>", "cursor": "<base64>"}
---
{"id": <d7>, "name": "<product>", "title": "<product>", "brand": "Acme Tools", "gtin": "<d13>",
  "isbn": "978-3-<d2>-<d6>-4",
 "price": {"amount": <price>, "currency": "USD"}, "dimensions": "10 x 20 x 30 cm", "gender": "women", "rating": 4.5,
 "description": "Water-resistant shell with two pockets. Model 2400 fits sizes 36 to 44; since 1998.",
  "reviews": <d3>,
 "attributes": {"color": "Navy", "size": "XL"}, "image": "https://cdn.example/p/<sha16>.jpg",
 "supplier": {"name": "Globex", "code": "<d6>"}, "email_template": "order-confirmation", "phone_type": "mobile"}
---
{"type": "Feature", "properties": {"name": "Lake View Point", "elevation": 412}, "lat": <angle>, "lon": <angle>,
 "geometry": {"type": "Polygon", "coordinates": [[[<angle>, <angle>], [<angle>, <angle>], [<angle>, <angle>]]]},
 "geohash": "<sha9>", "bbox": [<angle>, <angle>, <angle>, <angle>], "weather": {"city": "Berlin", "temp": 21.5}}
---
{"sha": "<sha40>", "tree": {"sha": "<sha40>"}, "parents": [{"sha": "<sha40>"}], "verified": true,
  "message": "<message>",
 "stats": {"additions": 120, "deletions": 33, "total": 153}, "date": "<time>", "signature": null,
 "files": [{"filename": "src/address_book.py", "changes": 12, "blob": "<sha40>", "mode": "100644"}]}
---
{"type": "object", "required": ["first_name", "email", "password"], "token": "IDENTIFIER",
  "sort": {"last_name": "asc"},
 "properties": {"first_name": {"type": "string", "maxLength": 40}, "email": {"type": "string", "format": "email"},
  "password": {"type": "string", "minLength": 12, "description": "the new password"}, "zip": {"type": "integer"}},
 "errors": {"password": "required", "email": "invalid", "first_name": "required"}, "flags": {"mobile": true,
  "zip": false},
 "columns": ["first_name", "last_name", "date_of_birth"], "x": "<d4>"}
---
{"name": "<service>-<d2>", "instance_id": "i-<sha17>", "age": "5d", "zone": "eu-central-1a",
  "memory_address": "0x<sha12>",
 "checksum": "<sha64>", "kernel": "6.1.0-18-amd64", "serial": "<d12>", "digest": "sha256-<base64>",
  "owner": "Data Platform",
 "user": "postgres", "session": {"id": "<uuid>", "ttl": 3600}, "uptime": <d6>, "created": <millis>,
  "account": "staging",
 "address": "unix:///run/app.sock", "host": "localhost", "password_policy": "strong", "manager": null}
---
{"id": "evt_<b62x24>", "object": "event", "api_version": "2024-06-20", "created": <seconds>, "livemode": false,
 "pending_webhooks": 1, "type": "payment_intent.succeeded", "request": {"id": "req_<b62x14>",
  "idempotency_key": "<uuid>"},
 "data": {"object": {"id": "pi_<b62x24>", "amount": <d5>, "currency": "usd", "status": "succeeded",
  "latest_charge": "ch_<b62x24>",
  "payment_method_types": ["card"], "receipt_url": null, "statement_descriptor": "ACME 4711", "transfer_group": null}}}
---
{"lockfileVersion": 3, "name": "shop-web", "version": "4.<d2>.0",
  "packages": {"node_modules/left-pad": {"version": "1.3.<d2>",
 "resolved": "https://registry.example/left-pad/-/left-pad-1.3.0.tgz", "integrity": "sha512-<base64>", "license": "MIT",
 "engines": {"node": ">=18.12.0 <21"}}, "node_modules/@scope/core": {"version": "0.<d2>.<d3>",
  "integrity": "sha512-<base64>"}}}
---
{"eventVersion": "1.08", "eventTime": "<time>", "eventSource": "s3.amazonaws.com", "eventName": "PutObject",
  "awsRegion":
 "eu-west-1", "requestParameters": {"bucketName": "logs-<d4>", "key": "2024/01/15/part-0000<d1>-<uuid>.parquet"},
 "responseElements": {"x-amz-request-id": "<caps3><d13>", "x-amz-id-2": "<base64>"}, "eventID": "<uuid>",
  "readOnly": false,
 "resources": [{"ARN": "arn:aws:s3:::logs-<d4>", "type": "AWS::S3::Object"}], "versionId": "<b62x32>",
  "sizeBytes": <d9>}
---
{"topic": "orders.v2", "partition": <d1>, "offset": <d10>, "highWatermark": <d10>, "timestamp": <millis>,
  "key": "<d12>",
 "headers": {"traceparent": "00-<sha32>-<sha16>-01", "content-type": "application/json", "x-attempt": "3"},
 "consumer": {"group": "billing", "lag": <d4>, "committed": [<d9>, <d9>, <d9>]}, "schema": {"id": <d4>,
  "subject": "orders-value"}}
---
{"took": 12, "timed_out": false, "_shards": {"total": 5, "failed": 0}, "hits": {"total": <d4>, "max_score": <price>,
 "hits": [{"_index": "products-2024.01", "_id": "<b62x20>", "_score": <price>, "_source": {"title": "<product>",
  "color": "#3fa9f5", "ean13": <d13>, "model": "EM-<d4>-<caps3>", "shelf": "A<d2>-<d3>", "batch": "LOT<d8>",
  "price": "<price> EUR",
  "valid_until": "2026-12-31", "sizes": ["36", "38", "40-42"], "stock": {"berlin": <d3>, "lyon": <d2>}}}]}}
---
{"symbol": "ACME", "open": <price>, "close": <price>, "volume": <d9>, "isin_check": <d1>,
  "bars": [[<millis>, <price>, <d7>],
 [<millis>, <price>, <d7>]], "rate": "1.<d5>", "tx": "0x<sha64>", "block": <d8>, "gas": "0x<sha5>", "nonce": <d6>,
 "window": "P<d1>DT12H", "cron": "*/15 2 * * 1-5", "mac_count": 4, "ratio": "16:9", "range": "bytes=0-<d6>/<d7>",
  "week": "2024-W07"}
"""
_PICKS: Final = {
    "state": ("pending", "success", "failed", "shipped", "queued", "cancelled"),
    "service": ("checkout", "payments-api", "inventory", "search-indexer", "auth-gateway"),
    "product": (
        *("Merino Wool Sweater", "Trail Runner 5", "USB-C Cable 2m", "Espresso Machine EM-3200", "Charlotte Chair"),
        *(
            "Oxford Shirt Slim Fit",
            "Madison Desk Lamp",
            "Notebook A5 dotted",
            "Austin Leather Boots",
            "Victoria Sponge Mix",
        ),
    ),
    "message": (
        *("GET /api/v1/orders/<d8>?page=<d2> 200 <d3>ms", "worker-<d2> finished job <uuid> in <price>s"),
        *("connection refused: retrying in 5s (attempt 3 of 10)", "password authentication failed for user postgres"),
        *("cache miss for key product:<d6>:v2", "token refreshed, expires in 3600 seconds", "Bump version to 2.14.0"),
        *("ERROR at com.example.OrderService.place(OrderService.java:<d3>)", "commit <sha40> deployed to eu-west-1"),
        *("secret my-app-tls mounted", "POST /login: password is required", "gc pause <price>ms heap 512M to 300M"),
        *(
            "listening on port 8080",
            "Fix rounding of totals",
            "Rename token to cursor",
            "id=<uuid> hash=<sha64>",
        ),
    ),
}
_TIMES: Final = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%f+00:00", "%Y-%m-%d %H:%M:%S")
_PLACE = re.compile(r"<([a-z]+(?:62x)?)([0-9]*)>")


def _filled(random: Random, template: str) -> str:
    def fill(match: re.Match[str]) -> str:
        kind, length = match[1], int(match[2] or 0)
        if kind in _PICKS:
            return _filled(random, random.choice(_PICKS[kind]))
        moment = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(seconds=random.randint(0, 10**8))
        makers: dict[str, Callable[[], str]] = {
            "d": lambda: _digits(random, length),
            "b62x": lambda: _letters(random, length, string.ascii_letters + string.digits),
            "caps": lambda: _letters(random, length),
            "uuid": lambda: str(uuid.UUID(int=random.getrandbits(128), version=4)),
            "sha": lambda: hashlib.sha256(random.randbytes(8)).hexdigest()[:length],
            "base": lambda: base64.b64encode(random.randbytes(32)).decode(),
            "price": lambda: f"{random.uniform(0.5, 2500):.2f}",
            "angle": lambda: f"{random.uniform(-90, 90):.6f}",
            "millis": lambda: str(int(moment.timestamp() * 1000)),
            "seconds": lambda: str(int(moment.timestamp())),
            "time": lambda: moment.strftime(
                random.choice(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%f+00:00", "%Y-%m-%d %H:%M:%S"])
            ),
        }
        return makers[kind]()

    return _PLACE.sub(fill, template)


def ordinary(seed: int, size: int = 300_000) -> Iterator[Any]:
    """Documents as machines exchange them, nobody's data in them, until they are about `size` characters together."""
    random = Random(seed)
    templates = _ORDINARY.strip().split("\n---\n")
    written = 0
    while written < size:
        for template in templates:
            text = _filled(random, template)
            written += len(text)
            yield json.loads(text)
