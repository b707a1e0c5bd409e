"""The log: every event of every call, appended by one rule.

The contract, which every implementation keeps (`tests/integration/log_suite.py` runs it on one node and on three):

- **append** writes one event that answers one earlier event of its call, only if nothing else stands on the call's
  subjects than what the writer has seen. It returns when the event is on disk. Exactly one of several writers that
  answer the same event wins; the others get `LostRace`. Appending is safe to repeat *within one attempt*: id and bytes
  are minted once, and finding one's own id on the log is success, whatever became of the acknowledgement.
- **read** gives the call as its chain tells it, from the leader: what was acknowledged before the read began is in it.
- **follow** gives every event of a partition in the order of the log, from a sequence on, without gaps and without
  end; it may lag behind. It needs no consumer, so it takes no right that could redirect another's deliveries.
- Errors out of append: `LostRace`, `BrokerAway` (it may or may not stand), `TooLarge`; out of reading: `BrokerAway`.
- An append signs with the key that the ring holds for its service at that moment, and returns only what readers accept.
  `Fatal` where the keys were rotated and the new ones are not here.
- What stands on the subjects but does not verify is *alien*: reported, kept, never part of a chain, and no obstacle.
"""

from callgate.log.jetstream import JetStreamLog
from callgate.log.messages import Alien, Message
from callgate.log.protocol import Chain, Draft, Log, Origin

__all__ = ["Alien", "Chain", "Draft", "JetStreamLog", "Log", "Message", "Origin"]
