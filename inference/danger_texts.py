"""The sentences that danger rules use, by key: why the level is what it is, and what to do now.

They are written for patients: plain words, calm, and honest that a reading by software is not a diagnosis. A
rule in `danger_rules.json` names its sentences by key, so that a sentence can be translated and a rule
changed on its own.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

TEXTS = {
    # --- brain ----------------------------------------------------------------------------------------------
    "glioma.likely": _(
        "The scan shows signs that often mean a glioma, a tumour that grows from the brain's own cells. "
        "A doctor needs to check this quickly, because early treatment matters."
    ),
    "glioma.possible": _(
        "The scan shows weak signs that could mean a glioma, a tumour that grows from the brain's own cells. "
        "Often such weak signs turn out to be something else, but a doctor should look."
    ),
    "meningioma.likely": _(
        "The scan shows signs that often mean a meningioma, a tumour of the skin around the brain. Most are "
        "not cancer and grow slowly, but one that presses on the brain needs care."
    ),
    "meningioma.possible": _(
        "The scan shows weak signs that could mean a meningioma, a tumour of the skin around the brain that "
        "is mostly not cancer. A doctor should look."
    ),
    "pituitary.likely": _(
        "The scan shows signs that often mean a tumour of the pituitary gland, a small gland under the "
        "brain. Most are not cancer, but they can change hormones and eyesight."
    ),
    "pituitary.possible": _(
        "The scan shows weak signs that could mean a tumour of the pituitary gland, a small gland under the "
        "brain. Most are not cancer. A doctor should look."
    ),
    "brain.urgent": _(
        "Show this scan to a doctor within the next day or two. A hospital with a brain team is best. Call "
        "your emergency number at once if you have a first seizure, or all of a sudden feel weak or numb or "
        "cannot speak or see well. Do so too if you vomit again and again, have the worst headache of your "
        "life, or are hard to wake."
    ),
    "brain.soon": _(
        "Book a doctor's visit within the next one to two weeks and bring this scan. Call your emergency "
        "number at once for a first seizure, sudden weakness, trouble speaking, sudden loss of sight, new "
        "confusion, or the worst headache of your life. Call it, too, if you are hard to wake."
    ),
    "pituitary.soon": _(
        "Book a doctor's visit within the next one to two weeks. Ask about blood tests for hormones and an "
        "eye test. See a doctor within a day if your sight gets worse, even only at the sides. Call your "
        "emergency number at once for a sudden bad headache, sudden loss of sight or double vision, or "
        "vomiting with great weakness."
    ),
    # --- chest ----------------------------------------------------------------------------------------------
    "pneumonia.likely": _(
        "The X-ray shows signs that often mean pneumonia, an infection deep in the lung. It can get worse "
        "within hours to days and is treated best when it is treated early."
    ),
    "pneumonia.possible": _(
        "The X-ray shows weak signs that could mean pneumonia, an infection deep in the lung. How you feel "
        "tells more than these signs do."
    ),
    "bacterial.likely": _(
        "The signs look most like pneumonia caused by bacteria. That kind needs antibiotics soon. An X-ray "
        "alone cannot prove the cause."
    ),
    "bacterial.possible": _(
        "The signs could be those of pneumonia caused by bacteria. An X-ray alone cannot prove the cause."
    ),
    "viral.likely": _(
        "The signs look most like pneumonia caused by a virus. It can still become serious, and an X-ray "
        "alone cannot prove the cause."
    ),
    "viral.possible": _(
        "The signs could be those of pneumonia caused by a virus. An X-ray alone cannot prove the cause."
    ),
    "covid.likely": _(
        "The signs look like those of COVID-19 in the lung. Only a swab test can show whether it is COVID-19."
    ),
    "covid.possible": _(
        "The signs could be those of COVID-19 in the lung. Only a swab test can show whether it is COVID-19."
    ),
    "chest.urgent": _(
        "See a doctor today. Call your emergency number at once if you struggle to breathe, have blue or "
        "grey lips, chest pain that does not stop, confusion, or cough up more than a few streaks of blood. "
        "Fever of 38 °C or more with chemotherapy, a transplant or weak defences is an emergency, too."
    ),
    "chest.urgent_child": _(
        "Take the child to a doctor today. Call your emergency number at once if the child breathes very "
        "fast or with effort (ribs pulling in, grunting), has blue or grey lips, is hard to wake, or will "
        "not drink. With 38 °C or more, a baby under 3 months or a child with weak defences needs a hospital "
        "now."
    ),
    "chest.soon": _(
        "See a doctor in the next day or two if you have a cough or fever, and within a week if you feel "
        "well. Call your emergency number at once if you struggle to breathe, have blue or grey lips, or "
        "become confused. Fever of 38 °C or more with chemotherapy, a transplant or weak defences is an "
        "emergency, too."
    ),
    "chest.soon_child": _(
        "Take the child to a doctor within a day if there is cough or fever, and within a week if the child "
        "is well. Call your emergency number at once if the child fights for breath or breathes very fast. "
        "Call it, too, for blue or grey lips, or if the child is hard to wake or will not drink. With "
        "38 °C or more, a baby under 3 months or a child with weak defences needs a hospital now."
    ),
    # --- knee -----------------------------------------------------------------------------------------------
    "knee.0": _("The X-ray shows no clear signs of osteoarthritis, the wear of the joint."),
    "knee.1": _(
        "The X-ray shows doubtful, very early signs of osteoarthritis. Even experts often disagree about "
        "these."
    ),
    "knee.1_possible": _(
        "The X-ray may show doubtful, very early signs of osteoarthritis, the wear of the joint."
    ),
    "knee.2": _(
        "The X-ray shows signs of mild osteoarthritis, the wear of the joint. It changes slowly, over years."
    ),
    "knee.2_possible": _("The X-ray may show signs of mild osteoarthritis, the wear of the joint."),
    "knee.3": _(
        "The X-ray shows signs of moderate osteoarthritis: the gap in the joint has become narrow. Much can "
        "be done for pain and movement."
    ),
    "knee.3_possible": _(
        "The X-ray may show signs of moderate osteoarthritis, with a narrower gap in the joint."
    ),
    "knee.4": _(
        "The X-ray shows signs of severe osteoarthritis: the gap in the joint is almost gone. Much can be "
        "done for pain and movement, including surgery if you want it."
    ),
    "knee.4_possible": _(
        "The X-ray may show signs of severe osteoarthritis, with the gap in the joint almost gone."
    ),
    "knee.none_do": _(
        "Nothing on this reading needs quick action. If the knee hurts, swells or locks, see a doctor all "
        "the same: many knee problems do not show on an X-ray. See a doctor the same day for a hot, swollen "
        "knee, with or without fever, or if you cannot put weight on the leg."
    ),
    "knee.routine_do": _(
        "Bring this up at your next doctor's visit. Staying active, strong leg muscles and a healthy weight "
        "help most. See a doctor the same day for a hot, swollen knee, with or without fever, or if you "
        "cannot put weight on the leg."
    ),
    "knee.soon_do": _(
        "Book a doctor's or physiotherapist's visit within the next few weeks to plan treatment. See a "
        "doctor the same day for a hot, swollen knee, with or without fever, or if you cannot put weight on "
        "the leg."
    ),
    "knee.child": _(
        "The reading saw possible wear of the joint, but it was made for adults and can be wrong in a young "
        "person. A doctor should look at this X-ray."
    ),
    "knee.child_0": _(
        "The reading found no wear of the joint, but it was made for adults and says little about a child's "
        "knee. A doctor should look at this X-ray."
    ),
    "knee.child_do": _(
        "Book a doctor's visit within the next two weeks. Ask to have the hip checked too, as a bad hip can "
        "hurt in the knee. Go the same day if the knee is hot and swollen, with or without fever, or if the "
        "child cannot put weight on the leg. Do so too if pain wakes the child at night."
    ),
    # --- nothing found --------------------------------------------------------------------------------------
    "none.brain": _(
        "The reading found no sign of the three kinds of brain tumour that it knows. It misses most of them "
        "if no contrast agent (a dye) was given, and in other kinds of MRI pictures. It cannot see other "
        "problems, such as a stroke or bleeding."
    ),
    "none.chest": _(
        "The reading found no sign of pneumonia. It cannot see other problems, such as a tumour, "
        "tuberculosis, a collapsed lung, a broken rib or heart disease."
    ),
    "none.unsure": _(
        "The reading leans towards nothing found, but it is not sure. It only looks for the few conditions "
        "it knows."
    ),
    "none.nothing": _(
        "Nothing that this reading looks for stood out. That does not prove that all is well: it only looks "
        "for the few conditions it knows, and it can miss them."
    ),
    "none.brain_do": _(
        "Let a doctor confirm this. If you have symptoms, do not wait because of this result: call your "
        "emergency number for a first seizure, sudden weakness, trouble speaking, sudden loss of sight, new "
        "confusion, or the worst headache of your life. Call it, too, if you are hard to wake."
    ),
    "none.chest_do": _(
        "Let a doctor confirm this. If you feel ill, do not wait because of this result: call your emergency "
        "number if you struggle to breathe, have blue or grey lips, or have chest pain that does not stop. "
        "Fever of 38 °C or more with chemotherapy, a transplant or weak defences is an emergency, too."
    ),
    "none.chest_child_do": _(
        "Let a doctor confirm this. Call your emergency number at once if the child breathes very fast or "
        "with effort, has blue or grey lips, is hard to wake, or will not drink, even when the X-ray looks "
        "clear. With 38 °C or more, a baby under 3 months or a child with weak defences needs a hospital now."
    ),
    "none.do": _(
        "Let a doctor confirm this. If you feel ill or get worse, see a doctor whatever this result says."
    ),
    # --- no reading -----------------------------------------------------------------------------------------
    "inconclusive.rejected": _(
        "The scan could not be read, so this says nothing about your health, good or bad."
    ),
    "inconclusive.failed": _("The reading broke off, so this says nothing about your health, good or bad."),
    "inconclusive.do": _(
        "Follow the hint above and send the scan again, or show it to a doctor. If you feel ill, do not "
        "wait for a reading."
    ),
    "inconclusive.failed_do": _(
        "Ask for the reading again, or show the scan to a doctor. If you feel ill, do not wait for a reading."
    ),
    # --- symptoms, as the person answered them --------------------------------------------------------------
    "symptom.breathless_at_rest": _(
        "You said: short of breath even at rest. That can mean that the body gets too little oxygen."
    ),
    "symptom.blue_lips": _("You said: blue or grey lips or face. That is a sign of too little oxygen."),
    "symptom.chest_pain": _(
        "You said: chest pain that does not stop. The heart or the lungs can be the cause, and an X-ray "
        "reading cannot rule that out."
    ),
    "symptom.confusion": _(
        "You said: new confusion, or hard to wake. With an illness of the lungs that is a warning sign."
    ),
    "symptom.oxygen_low": _(
        "The oxygen level you gave is below 93 %. That is dangerously low for most people."
    ),
    "symptom.oxygen_reduced": _(
        "The oxygen level you gave is below 95 %. That is lower than it should be for most people. On dark "
        "skin the true level can be lower still."
    ),
    "symptom.coughing_blood": _(
        "You said: coughing up blood. A doctor should find the cause soon, whatever the X-ray shows. If it "
        "is more than a few streaks, call your emergency number now."
    ),
    "symptom.high_fever": _("You said: fever above 38.5 °C. A doctor should look for the cause."),
    "symptom.child_not_drinking": _(
        "You said that the child will not drink. In a sick child that is a danger sign."
    ),
    "symptom.child_breathing": _(
        "You said: the child breathes very fast or with effort, or breathing pauses. That can mean that the "
        "body gets too little oxygen."
    ),
    "symptom.child_fit_or_limp": _(
        "You said: the child has a fit, or is limp. In a sick child that is a danger sign."
    ),
    "symptom.baby_fever": _(
        "You said: a baby under 3 months with 38 °C or more. At that age fever can mean a serious infection, "
        "even if the baby looks well."
    ),
    "symptom.weak_defences_fever": _(
        "You said: fever of 38 °C or more with chemotherapy, a transplant or weak defences. An infection can "
        "then turn dangerous within hours. Say so as soon as you get help."
    ),
    "symptom.first_seizure": _(
        "You said: a seizure, now or for the first time. That needs help at once, whatever the scan shows."
    ),
    "symptom.sudden_weakness": _(
        "You said: sudden weakness, numbness or trouble speaking. That can be a stroke, and every minute "
        "counts."
    ),
    "symptom.worst_headache": _(
        "You said: a sudden headache, the worst ever. That can be bleeding in the head, which this "
        "reading cannot see."
    ),
    "symptom.sudden_vision_loss": _("You said: sudden loss of sight. That needs help at once."),
    "symptom.drowsy": _(
        "You said: new confusion, very drowsy, or hard to wake. That can mean pressure in the head."
    ),
    "symptom.fever_stiff_neck": _(
        "You said: a headache with fever and a stiff neck, or a rash that does not fade when pressed. That "
        "can be an infection round the brain, which this reading cannot see."
    ),
    "symptom.morning_vomiting": _(
        "You said: vomiting in the mornings with a headache. That can mean pressure in the head."
    ),
    "symptom.hot_swollen_fever": _(
        "You said: a knee that became hot and swollen within days. That can be an infection of the joint, "
        "even without fever, and this reading cannot see it."
    ),
    "symptom.cannot_bear_weight": _(
        "You said that the leg cannot take weight. That can be a break, which this reading cannot rule out."
    ),
    "symptom.locked_knee": _("You said that the knee is locked. Something may be caught in the joint."),
    "symptom.calf_pain": _(
        "You said: a painful, swollen calf. That can be a blood clot, which an X-ray does not show. If you "
        "are also short of breath or your chest hurts, call your emergency number now."
    ),
    "symptom.night_pain": _("You said: knee pain that wakes at night. A doctor should look for the cause."),
    "symptom.night_pain_child": _(
        "You said that knee pain wakes the child at night. In a child a doctor should check this quickly."
    ),
    "symptom.fever_pneumonia": _(
        "Fever above 38.5 °C together with weak signs of pneumonia makes pneumonia more likely."
    ),
    "symptom.vomiting_tumour": _(
        "Vomiting in the mornings with signs of a tumour can mean high pressure in the head. That needs help "
        "at once."
    ),
    "symptom.emergency_do": _(
        "Call your local emergency number now, or go to the nearest emergency department. Do not wait for "
        "a reading, and do not drive yourself."
    ),
    "symptom.today_do": _(
        "See a doctor today. If you get worse, or cannot reach a doctor, go to an emergency department."
    ),
    "symptom.hot_knee_do": _(
        "See a doctor today. If you get worse, or cannot reach a doctor, go to an emergency department. Go "
        "there now if you have a fever, feel very ill, have an artificial knee or weak defences, or had a "
        "needle in the knee lately."
    ),
    "symptom.child_fever_do": _(
        "Take the child to a doctor within a day. Call your emergency number at once if the child breathes "
        "very fast or with effort, has blue or grey lips, is hard to wake, or will not drink. With 38 °C or "
        "more, a baby under 3 months or a child with weak defences needs a hospital now."
    ),
    "symptom.days_do": _("See a doctor in the next day or two. If you get worse, get help at once."),
    # --- set by a doctor ------------------------------------------------------------------------------------
    "doctor.because": _("A doctor looked at this and set the level. No software lowers it."),
    "doctor.do": _("Do what your doctor told you to do. If you get worse, get help at once."),
}
