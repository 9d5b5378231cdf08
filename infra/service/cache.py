"""Orders beside the database: in Redis, and in this process for when neither answers."""

from collections import OrderedDict
from uuid import UUID

from pydantic import ValidationError

from infra.service.orders import Order
from infra.service.redis_master import RedisMaster
from tasks.errors import Transient

# Seconds.
_LIFETIME = 60
_AT_HAND = 10_000


class OrderCache:
    """Cache-aside in two levels: an order is put here after it was read from the database.

    Redis is asked first and shared by all instances; nobody has to wait for it. What passed through this
    instance stays at hand as well, the latest 10,000, for reads while the database is away.
    """

    def __init__(self, master: RedisMaster) -> None:
        self._master = master
        self._at_hand: OrderedDict[UUID, Order] = OrderedDict()

    async def get(self, order_id: UUID) -> Order | None:
        """The order of an id, where Redis has it and answers within 0.5 s."""
        try:
            async with self._master.asked() as master:
                kept = await master.get(_key(order_id))
            order = Order.model_validate_json(kept) if kept else None
        except (Transient, ValidationError):
            return None
        if order:
            self._remember(order)
        return order

    async def put(self, order: Order) -> None:
        """Keep an order for a minute, where Redis takes it within 0.5 s; and at hand."""
        self._remember(order)
        try:
            async with self._master.asked() as master:
                await master.set(_key(order.id), order.model_dump_json(), ex=_LIFETIME)
        except Transient:
            return

    def at_hand(self, order_id: UUID) -> Order | None:
        """The order of an id as this instance saw it last, however long ago."""
        return self._at_hand.get(order_id)

    def _remember(self, order: Order) -> None:
        self._at_hand[order.id] = order
        self._at_hand.move_to_end(order.id)
        if len(self._at_hand) > _AT_HAND:
            self._at_hand.popitem(last=False)


def _key(order_id: UUID) -> str:
    return f"orders:{order_id}"
