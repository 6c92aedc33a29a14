"""Hindi sentences of the shipped danger rules; a key that is missing here is shown in English."""

TEXTS_HI: dict[str, str] = {
    "symptom.emergency_do": "अभी अपने देश के आपातकालीन नंबर पर फ़ोन करें या सबसे नज़दीकी आपातकालीन विभाग जाएँ। रिपोर्ट का इंतज़ार न करें और खुद गाड़ी न चलाएँ।",  # noqa: E501
    "symptom.today_do": "आज ही डॉक्टर को दिखाएँ। हालत बिगड़े या डॉक्टर न मिले तो आपातकालीन विभाग जाएँ।",  # noqa: E501
    "symptom.days_do": "एक-दो दिन में डॉक्टर को दिखाएँ। हालत बिगड़े तो तुरंत मदद लें।",  # noqa: E501
}
