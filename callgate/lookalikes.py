"""Letters that look like Latin ones, after Unicode's confusables (UTS #39). Pure; one table for those who read values
as people read them (masking) and those who show them to people (approval)."""

from typing import Final

LATIN: Final = str.maketrans(
    "АВЕЅІЈКМНОРСТУХԚԜҮаесіјкорѕухһԁԛԝѵӏ"
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγικνορτυχϲϳ"
    "օսհոզՕՏԼՍᎪᏴᏟᎠᎬᏀᎻᎫᏦᏞᎷᏢᏒᏚᎢᏙᎳᏃ"
    "ɑɡᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ",
    "ABESIJKMHOPCTYXQWYaecijkopsyxhdqwvl"
    "ABEZHIKMNOPTYXayiknoptuxcj"
    "ouhnqOSLUABCDEGHJKLMPRSTVWZ"
    "agabcdefghijklmnoprstuvwyz",
)
"""Cyrillic, Greek, Armenian, Cherokee and phonetic letters, each to the Latin one that it looks like."""
