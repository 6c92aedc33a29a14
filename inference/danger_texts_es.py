"""Spanish sentences of the shipped danger rules; a key that is missing here is shown in English."""

TEXTS_ES: dict[str, str] = {
    "symptom.emergency_do": "Llame ahora al número de emergencias de su país o vaya al servicio de urgencias más cercano. No espere una lectura y no conduzca usted.",  # noqa: E501
    "symptom.today_do": "Vea a un médico hoy. Si empeora o no encuentra médico, vaya a urgencias.",  # noqa: E501
    "symptom.days_do": "Vea a un médico en uno o dos días. Si empeora, busque ayuda de inmediato.",  # noqa: E501
}
