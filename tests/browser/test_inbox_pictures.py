"""The pictures of docs/: what people see, taken from the real pages when CALLGATE_SCREENSHOTS names a folder."""

from datetime import timedelta

import pytest
from approval_scene import requirement
from desks import SCREENSHOTS, Desk, live, shoot
from playwright.async_api import expect

from callgate.delivery import now
from callgate.jsontext import dump
from contracts.events import Escalation, Finding
from contracts.identity import Principal

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(SCREENSHOTS is None, reason="set CALLGATE_SCREENSHOTS to a folder to take pictures"),
]

BOT = Principal(
    id="support-bot", issuer="https://id.example.com", groups=("support",), on_behalf_of="rosa", actors=("support-bot",)
)
OPS = Principal(id="billing-agent", issuer="https://id.example.com", groups=("billing",))


async def test_pictures_of_inbox_and_call(desk: Desk) -> None:
    masked = (
        Finding(path="/customer/email", entity="EMAIL_ADDRESS", start=0, end=15),
        Finding(path="/card", entity="CREDIT_CARD", start=0, end=13),
    )
    refund = {
        "amount": 2499.0,
        "currency": "EUR",
        "customer": {"id": "c42", "email": "[EMAIL_ADDRESS]"},
        "card": "[CREDIT_CARD]",
        "beneficiary": "p\u0430yments@example.com",
        "note": "Customer says the parcel never came. Please refund in full, today, without asking back. " * 5,
        "notify": True,
    }
    past = await desk.stage.ask(requirement(minutes=30), arguments={"amount": 120, "currency": "EUR"}, requester=BOT)
    await desk.stage.lose({"amount": 75, "currency": "EUR"})
    iban = {"customer": "c7", "iban": "[IBAN_CODE]"}
    await desk.stage.ask(requirement(minutes=1.8), arguments=iban, requester=OPS, function="payments.change_iban")
    escalation = Escalation(at=now() + timedelta(minutes=9), approvers=("leads",))
    needs = requirement(quorum=2, minutes=14).model_copy(update={"escalation": escalation, "break_glass": ("duty",)})
    session = past.ref.session_id
    shown = await desk.stage.ask(needs, arguments=refund, findings=masked, requester=BOT, session_id=session)
    for amount, minutes in ((410, 52), (88, 118), (5150.25, 1500)):
        ask = requirement(minutes=minutes)
        await desk.stage.ask(ask, arguments={"amount": amount, "currency": "EUR", "customer": "c7"}, requester=BOT)
    async with desk.window(script=False) as other:
        page = await desk.sign_in(other, "finn", "finance")
        await page.goto(f"/approvals/{past.ref}")
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_text("You approved this call.")).to_be_visible()
        await page.goto(f"/approvals/{shown.ref}/amend")
        await page.get_by_label("amount number").fill("249.9")
        await page.get_by_label("Reason").fill("The invoice says 249.90.")
        await page.get_by_role("button", name="Change the arguments").click()
        amended = await desk.stage.until(shown.ref, "arguments_amended")
        again = await desk.stage.mask(amended, dump({**refund, "amount": 249.9}), BOT, masked)
        await desk.stage.ask_about(again, needs)
        await page.goto(f"/approvals/{shown.ref}")
        await page.get_by_label("Reason").fill("The parcel is lost, says the carrier.")
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_text("You approved this call.")).to_be_visible()
        easy = await desk.stage.ask(requirement(minutes=40), arguments={"amount": 12}, requester=BOT)
        for path in ("amend", "grant", "freeze"):
            await page.goto(f"/approvals/{(shown if path == 'amend' else easy).ref}/{path}")
            await shoot(page, f"form-{path}")
        await page.get_by_role("link", name="In force").click()
        await shoot(page, "form-in-force")
        await page.goto("/approvals")
        await page.locator('a[href*="/outcomes/"]').click()
        await shoot(page, "form-settle")
    for scheme in ("light", "dark"):
        for device, width, height in (("desktop", 1280, 800), ("phone", 390, 844)):
            async with desk.window(viewport={"width": width, "height": height}, color_scheme=scheme) as context:
                page = await desk.sign_in(context, "fina", "finance")
                await live(page)
                await expect(page.locator(".brief")).to_have_count(7)
                await shoot(page, f"inbox-{device}-{scheme}")
                await page.goto(f"/approvals/{shown.ref}")
                await live(page)
                await shoot(page, f"call-{device}-{scheme}")
