"""English sentences that earlier danger rules said, and the key under which the shipped rules say it now.

A reading keeps the sentences that it was judged with. Where one has changed since, a reader of another
language is given the present sentence of its key: there is no translation of the old one any more. Whoever
changes a sentence in `danger_texts` adds the old one here.
"""

EARLIER: dict[str, str] = {
    (
        "Book a doctor's visit within the next one to two weeks and bring this scan. Call your emergency "
        "number at once for a first seizure, sudden weakness, trouble speaking, sudden loss of sight, or the "
        "worst headache of your life."
    ): "brain.soon",
    (
        "Book a doctor's visit within the next one to two weeks and ask about blood tests for hormones and "
        "an eye test. Get help at once for a sudden bad headache, sudden loss of sight, or vomiting with "
        "great weakness."
    ): "pituitary.soon",
    (
        "See a doctor today. Call your emergency number at once if you struggle to breathe, have blue or "
        "grey lips, chest pain that does not stop, confusion, or cough up more than a few streaks of blood."
    ): "chest.urgent",
    (
        "Take the child to a doctor today. Call your emergency number at once if the child breathes very "
        "fast or with effort (ribs pulling in, grunting), has blue or grey lips, is hard to wake, or will "
        "not drink."
    ): "chest.urgent_child",
    (
        "See a doctor in the next day or two if you have a cough or fever, and within a week if you feel "
        "well. Call your emergency number at once if you struggle to breathe, have blue or grey lips, or "
        "become confused."
    ): "chest.soon",
    (
        "Take the child to a doctor within a day if there is cough or fever, and within a week if the child "
        "is well. Call your emergency number at once if the child fights for breath or breathes very fast. "
        "Call it, too, for blue or grey lips, or if the child is hard to wake or will not drink."
    ): "chest.soon_child",
    (
        "Nothing on this reading needs quick action. If the knee hurts, swells or locks, see a doctor all "
        "the same: many knee problems do not show on an X-ray. See a doctor the same day for a hot, red, "
        "swollen knee with fever."
    ): "knee.none_do",
    (
        "Bring this up at your next doctor's visit. Staying active, strong leg muscles and a healthy weight "
        "help most. See a doctor the same day for a hot, red, swollen knee with fever, or if you cannot put "
        "weight on the leg."
    ): "knee.routine_do",
    (
        "Book a doctor's or physiotherapist's visit within the next few weeks to plan treatment. See a "
        "doctor the same day for a hot, red, swollen knee with fever, or if you cannot put weight on the leg."
    ): "knee.soon_do",
    (
        "Book a doctor's visit within the next two weeks. Go the same day if the knee is hot and swollen "
        "with fever, if the child cannot put weight on the leg, or if pain wakes the child at night."
    ): "knee.child_do",
    (
        "Let a doctor confirm this. If you have symptoms, do not wait because of this result: call your "
        "emergency number for a first seizure, sudden weakness, trouble speaking, or the worst headache of "
        "your life."
    ): "none.brain_do",
    (
        "Let a doctor confirm this. If you feel ill, do not wait because of this result: call your emergency "
        "number if you struggle to breathe, have blue or grey lips, or have chest pain that does not stop."
    ): "none.chest_do",
    "The oxygen level you gave is below 92 %. That is dangerously low for most people.": (
        "symptom.oxygen_low"
    ),
    "The oxygen level you gave is below 95 %. That is lower than it should be for most people.": (
        "symptom.oxygen_reduced"
    ),
    "You said: coughing up blood. A doctor should find the cause soon, whatever the X-ray shows.": (
        "symptom.coughing_blood"
    ),
    "You said: very drowsy or hard to wake. That can mean pressure in the head.": "symptom.drowsy",
    (
        "You said: a hot, swollen knee with fever. That can be an infection of the joint, which this reading "
        "cannot see."
    ): "symptom.hot_swollen_fever",
    "You said: a painful, swollen calf. That can be a blood clot, which an X-ray does not show.": (
        "symptom.calf_pain"
    ),
    (
        "The reading points to wear of the joint, but it was made for adults and can be wrong in a young "
        "person. A doctor should look at this X-ray."
    ): "knee.child",
}
