"""The third parties' edge: a small HTTPS and SMTP server that takes what channels send, and keeps it.

It answers as PagerDuty's Events API, Slack, Statuspage, X, LinkedIn, Amazon SES and SNS, and a mail server
do, refusals of malformed messages included.
"""
