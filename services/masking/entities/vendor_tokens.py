"""Credentials that their issuers made recognisable: one recogniser a family of issuers, an alternative a kind of token.

The formats are the issuers' own, as they document them or as their secret scanning partners' programmes list them. Each
alternative begins with a literal, so that RE2 leaves ordinary text at its first character.
"""

from typing import Final

from services.masking.entities.randomness import mixed, token_like
from services.masking.recogniser import Recogniser

API_KEY: Final = "API_KEY"
_PREFIX: Final = "issuer's prefix, alphabet and length"
_SOURCE: Final = "issuers' documentation of their token formats"


def _one_of(*alternatives: str) -> str:
    """Any of them, as group 1, not in the middle of a word."""
    return f"(?:^|[^A-Za-z0-9])({'|'.join(alternatives)})"


_CLOUD: Final = _one_of(
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",  # AWS access key ids
    r"ABSK[A-Za-z0-9+/]{100,}={0,2}",  # AWS Bedrock
    r"AIza[A-Za-z0-9_-]{35}",  # Google API keys
    r"ya29\.[A-Za-z0-9_.-]{20,}",  # Google access tokens
    r"GOCSPX-[A-Za-z0-9_-]{20,}",  # Google client secrets
    r"1//0[A-Za-z0-9_-]{40,}",  # Google refresh tokens
    r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}",  # Azure client secrets
    r"LTAI[A-Za-z0-9]{16,20}\b",  # Alibaba
    r"do[opr]_v1_[0-9a-f]{64}\b",  # DigitalOcean
    r"HRKU-[A-Za-z0-9_-]{36,}",  # Heroku
    r"v1\.0-[0-9a-f]{24}-[0-9a-f]{100,}",  # Cloudflare origin CA
    r"sbp_[0-9a-f]{40}\b|sb_secret_[A-Za-z0-9_-]{20,}",  # Supabase
    r"nfp_[A-Za-z0-9]{36,}|dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{40,}",  # Netlify, Doppler
    r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,}|napi_[a-z0-9]{50,}",  # PlanetScale, Neon
    r"f[mo][12]_[A-Za-z0-9+/=_-]{40,}",  # Fly.io
)
_WORDED: Final = (
    r"(?i)(?:aws.?secret.?(?:access.?)?key|secret.?access.?key)[\"']?\s{0,3}(?:=>|[:=])\s{0,3}[\"']?([A-Za-z0-9+/]{40})\b",
    r"(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{40,}={0,2})",  # Azure Storage, Service Bus
    r"[?&;]sig=([A-Za-z0-9%+/_=-]{30,})",  # Azure shared access signatures
    r"private_key_id[\"']?\s{0,3}[:=]\s{0,3}[\"']?([0-9a-f]{40})\b",  # Google service accounts
    r"(?i)(?:\bdd|datadog)[_-]?(?:api|app|application)[_-]?key[\"']?\s{0,3}[:=]\s{0,3}[\"']?([0-9a-f]{32,40})\b",
    r"(?:^|[\s\"'=:,(<])(key-[0-9a-f]{32})\b",  # Mailgun; no `cache-key-…`
    r"(?i)heroku[a-z_ -]{0,12}(?:key|token|secret)[\"']?\s{0,3}[:=]\s{0,3}[\"']?"
    r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b",
    r"(?i)cloudflare[a-z_ -]{0,12}(?:key|token|secret)[\"']?\s{0,3}[:=]\s{0,3}[\"']?([A-Za-z0-9_-]{37,40})\b",
)
_FORGES: Final = _one_of(
    r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}",  # GitHub
    r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[A-Za-z0-9_.-]{20,}",  # GitLab
    r"ATBB[A-Za-z0-9]{24,}|AT(?:ATT|CTT)3[A-Za-z0-9_=-]{60,}",  # Bitbucket, Atlassian
    r"lin_(?:api|oauth)_[A-Za-z0-9]{32,}",  # Linear
    r"ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43}\b",  # Notion
    r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}|figd_[A-Za-z0-9_-]{36,}",  # Postman, Figma
    r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}\b",  # Airtable
    r"sq[pua]_[0-9a-f]{40}\b|bkua_[0-9a-f]{40}\b|CCIPAT_[A-Za-z0-9_]{40,}",  # SonarQube, Buildkite, CircleCI
)
_PACKAGES: Final = _one_of(
    r"npm_[A-Za-z0-9]{36}\b|pypi-AgE[A-Za-z0-9_-]{50,}|rubygems_[0-9a-f]{48}\b",
    r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}",  # Docker Hub
    r"CLOJARS_[a-z0-9]{60}\b|oy2[a-z0-9]{43}\b|cio[A-Za-z0-9]{32}\b",  # Clojars, NuGet, crates.io
)
_MESSAGING: Final = _one_of(
    r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",  # SendGrid
    r"(?:SK|AC)[0-9a-f]{32}\b",  # Twilio
    r"[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}\b",  # Mailgun
    r"[0-9a-f]{32}-us[0-9]{1,2}\b|xkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16}\b",  # Mailchimp, Brevo
    r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}",  # Resend
    r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}",  # Telegram bots
    r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}",  # Discord bots
)
_SLACK: Final = _one_of(
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}", r"xapp-[A-Za-z0-9-]{20,}", r"xoxe\.xox[bp]-[A-Za-z0-9-]{10,}"
)
_WEBHOOKS: Final = (
    r"(?:hooks\.slack\.com/(?:services|workflows|triggers)/|discord(?:app)?\.com/api/webhooks/"
    r"|\.webhook\.office\.com/webhookb2/)([A-Za-z0-9/+@_-]{20,})"
)
_PAYMENT: Final = _one_of(
    r"(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{16,}",  # Stripe and those who follow it
    r"sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,}|EAAA[A-Za-z0-9+=_-]{60}",  # Square
    r"shp(?:at|ca|pa|ss|tka|ua)_[0-9a-fA-F]{32}\b",  # Shopify
    r"access_token\$(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}",  # Braintree
    r"access-(?:sandbox|development|production)-[0-9a-f]{8}-[0-9a-f-]{27}",  # Plaid
    r"rzp_(?:live|test)_[A-Za-z0-9]{14,}|FLWSECK(?:_TEST)?-[A-Za-z0-9-]{12,}",  # Razorpay, Flutterwave
    r"shippo_(?:live|test)_[0-9a-f]{40}\b|EZ[AT]K[A-Za-z0-9]{54}\b",  # Shippo, EasyPost
)
_MODELS: Final = _one_of(
    r"sk-(?:proj|svcacct|admin|ant|or|lf)-[A-Za-z0-9_-]{20,}|sk-[A-Za-z0-9_-]{20,}",  # OpenAI, Anthropic, OpenRouter
    r"hf_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{40,}|r8_[A-Za-z0-9]{37}\b",  # Hugging Face, Groq, Replicate
    r"pplx-[A-Za-z0-9]{40,}|xai-[A-Za-z0-9]{60,}|nvapi-[A-Za-z0-9_-]{60,}",  # Perplexity, xAI, NVIDIA
    r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}|tvly-[A-Za-z0-9-]{28,}|pcsk_[A-Za-z0-9_]{50,}",  # LangSmith …
)
_OPERATIONS: Final = _one_of(
    r"hv[sbr]\.[A-Za-z0-9_-]{24,}|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}",  # HashiCorp Vault, Terraform
    r"pul-[0-9a-f]{40}\b|dapi[0-9a-f]{32}(?:-[0-9])?\b",  # Pulumi, Databricks
    r"NRAK-[A-Z0-9]{27}\b|NRII-[A-Za-z0-9_-]{32}|NRJS-[0-9a-f]{19}\b|[0-9a-f]{36}NRAL\b",  # New Relic
    r"glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}\b|glc_eyJ[A-Za-z0-9+/=]{30,}",  # Grafana
    r"sntrys_eyJ[A-Za-z0-9+/=_-]{30,}|sntryu_[0-9a-f]{64}\b",  # Sentry
    r"dt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}\b|phx_[A-Za-z0-9]{40,}",  # Dynatrace, PostHog
    r"sdk-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",  # LaunchDarkly
    r"tskey-[a-z]{2,12}-[A-Za-z0-9]{8,}-[A-Za-z0-9]{16,}|ops_eyJ[A-Za-z0-9_-]{60,}",  # Tailscale, 1Password
    r"vc[pikar]_[A-Za-z0-9]{24,}",  # Vercel
)
_SENTRY_DSN: Final = r"https?://([0-9a-f]{32}(?::[0-9a-f]{32})?)@[A-Za-z0-9.-]{3,}/[0-9]+\b"


def _family(pattern: str, evidence: str = _PREFIX, score: float = 0.97) -> Recogniser:
    return Recogniser(API_KEY, pattern, check=mixed, score=score, evidence=evidence, source=_SOURCE)


VENDOR_TOKENS: Final[tuple[Recogniser, ...]] = (
    Recogniser(API_KEY, _CLOUD, score=0.97, evidence=_PREFIX, source=_SOURCE),
    *(_family(one) for one in (_FORGES, _PACKAGES, _MESSAGING, _SLACK, _PAYMENT, _OPERATIONS)),
    Recogniser(API_KEY, _MODELS, check=token_like, score=0.97, evidence=f"{_PREFIX}, no words", source=_SOURCE),
    *(_family(one, "issuer's parameter, alphabet and length") for one in _WORDED),
    _family(_WEBHOOKS, "issuer's host and path of webhooks"),
    _family(_SENTRY_DSN, "32 hexadecimal digits as the user of a DSN", score=1.0),
)
