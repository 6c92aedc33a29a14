"""What search looks at: one row per condition and language, made from published texts only."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models

from pmi_site.models import BaseModel


class SearchDocument(BaseModel):
    """The words of one condition in one language. `search.py` makes these; nobody edits them."""

    condition = models.ForeignKey("resources.Condition", on_delete=models.CASCADE, related_name="documents")
    language = models.CharField(max_length=8)
    # Every word of the names and other names, in lower case and without accents.
    names: ArrayField = ArrayField(models.TextField(), default=list)
    # The three-letter pieces of those words. pg_trgm would do this too, but not every PostgreSQL has it.
    trigrams: ArrayField = ArrayField(models.CharField(max_length=3), default=list)
    vector = SearchVectorField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["condition", "language"], name="one_search_document_each")
        ]
        indexes = [
            GinIndex(fields=["vector"], name="search_document_vector"),
            GinIndex(fields=["trigrams"], name="search_document_trigrams"),
        ]

    def __str__(self) -> str:
        return f"{self.condition_id} [{self.language}]"
