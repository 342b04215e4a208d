"""Where alerts go: the log always; a webhook, Slack and e-mail where the settings name them."""

from __future__ import annotations

import logging
import smtplib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from email.message import EmailMessage
from urllib.request import Request, urlopen

from athlete_assets.errors import SettingsError
from athlete_assets.monitoring.alerts import Alert
from athlete_assets.settings import Settings

SECONDS = 10
"""How long one delivery may take; a channel that fails gets the message again at the next tick."""


class Channel(ABC):
    """A place to which alerts are sent."""

    name: str

    @abstractmethod
    def send(self, alert: Alert) -> None:
        """Delivers the alert or raises."""


class Log(Channel):
    """The logger `athlete_assets.alerts`, so the output of the daemon's code server."""

    name = "log"

    def send(self, alert: Alert) -> None:
        level = logging.INFO if alert.status == "recovered" else logging.WARNING
        logging.getLogger("athlete_assets.alerts").log(level, alert.text)


class Webhook(Channel):
    """A JSON POST; its `text` is shown by the incoming webhooks of Slack, Mattermost and Teams alike."""

    name = "webhook"

    def __init__(self, url: str) -> None:
        self.url = url

    def send(self, alert: Alert) -> None:
        body = alert.model_dump_json().encode()
        with urlopen(Request(self.url, body, {"Content-Type": "application/json"}), timeout=SECONDS) as answer:
            answer.read()


class Slack(Channel):
    """A message to a Slack channel by a bot's token (dagster-slack)."""

    name = "slack"

    def __init__(self, token: str, channel: str) -> None:
        self.token = token
        self.channel = channel

    def send(self, alert: Alert) -> None:
        from dagster_slack import SlackResource

        client = SlackResource(token=self.token).get_client()
        client.timeout = SECONDS
        client.chat_postMessage(channel=self.channel, text=alert.text)


class Email(Channel):
    """One mail to all recipients, over STARTTLS where the server offers it."""

    name = "e-mail"

    def __init__(self, server: str, sender: str, recipients: Sequence[str], user: str = "", password: str = "") -> None:
        self.server = server
        self.sender = sender
        self.recipients = recipients
        self.user = user
        self.password = password

    def send(self, alert: Alert) -> None:
        message = EmailMessage()
        message["Subject"] = alert.text.partition("\n")[0]
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        message.set_content(alert.text)
        host, _, port = self.server.partition(":")
        with smtplib.SMTP(host, int(port or 25), timeout=SECONDS) as connection:
            if connection.ehlo()[0] == 250 and connection.has_extn("starttls"):
                connection.starttls()
            elif self.user:
                raise SettingsError(
                    f"setting ATHLETE_ALERT_SMTP_USER: {self.server} offers no STARTTLS, and a password is not sent "
                    "in the clear"
                )
            if self.user:
                connection.login(self.user, self.password)
            connection.send_message(message)


def channels_of(settings: Settings) -> list[Channel]:
    """The channels that the settings name. Raises SettingsError for one that is named by halves."""
    channels: list[Channel] = [Log()]
    webhook, slack_token = settings.alert_webhook_url.get_secret_value(), settings.alert_slack_token.get_secret_value()
    if webhook:
        channels.append(Webhook(webhook))
    if slack_token or settings.alert_slack_channel:
        if not (slack_token and settings.alert_slack_channel):
            raise SettingsError("Slack alerts need both ATHLETE_ALERT_SLACK_TOKEN and ATHLETE_ALERT_SLACK_CHANNEL")
        channels.append(Slack(slack_token, settings.alert_slack_channel))
    mail = (settings.alert_smtp_server, settings.alert_email_from, settings.alert_email_to)
    if any(mail):
        if not all(mail):
            raise SettingsError(
                "e-mail alerts need ATHLETE_ALERT_SMTP_SERVER, ATHLETE_ALERT_EMAIL_FROM and ATHLETE_ALERT_EMAIL_TO"
            )
        channels.append(Email(*mail, settings.alert_smtp_user, settings.alert_smtp_password.get_secret_value()))
    return channels
